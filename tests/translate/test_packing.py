import re
import subprocess
import sys
from pathlib import Path

import pytest
from envoy.config.core.v3.base_pb2 import Metadata
from google.protobuf.struct_pb2 import Struct

import xds_server
from xds_server.model.types import TypeUrl
from xds_server.translate.packing import draft, duration, pack

KEYS = [f"key-{number}" for number in range(50)]


def metadata(keys: list[str]) -> Metadata:
    """A message with maps on two levels, filled in the order of the keys."""
    message = Metadata()
    for key in keys:
        inner = Struct()
        inner.update(dict.fromkeys(keys, "x"))
        message.filter_metadata[key].CopyFrom(inner)
        message.typed_filter_metadata[key].CopyFrom(pack(inner))
    return message


@pytest.mark.shows("P-022")
def test_equal_messages_have_equal_bytes() -> None:
    one, other = metadata(KEYS), metadata(KEYS[::-1])

    assert one == other
    assert draft(TypeUrl.CLUSTER, "x", one).packed == draft(TypeUrl.CLUSTER, "x", other).packed


@pytest.mark.shows("P-022")
def test_another_process_makes_the_same_bytes() -> None:
    script = (
        "from tests.translate.test_packing import KEYS, metadata\n"
        "from xds_server.translate.packing import pack\n"
        "import sys; sys.stdout.write(pack(metadata(KEYS)).SerializeToString(deterministic=True).hex())\n"
    )
    root = Path(__file__).parents[2]

    made = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, cwd=root, text=True
    ).stdout

    assert bytes.fromhex(made) == draft(TypeUrl.CLUSTER, "x", metadata(KEYS)).packed


def test_nobody_else_packs() -> None:
    package = Path(xds_server.__file__).parent
    forbidden = re.compile(r"\.Pack\(|\bAny\(type_url=")

    found = {
        str(path.relative_to(package)) for path in package.rglob("*.py") if forbidden.search(path.read_text())
    }

    assert found == {"translate/packing.py"}


@pytest.mark.parametrize(
    ("seconds", "parts"),
    [
        (0, (0, 0)),
        (5.0, (5, 0)),
        (0.25, (0, 250_000_000)),
        (1.001, (1, 1_000_000)),
        (1e-9, (0, 1)),
        (90, (90, 0)),
    ],
)
def test_durations(seconds: float, parts: tuple[int, int]) -> None:
    made = duration(seconds)

    assert (made.seconds, made.nanos) == parts


def test_a_draft_does_not_show_its_bytes() -> None:
    assert "hush" not in repr(draft(TypeUrl.SECRET, "x", Struct(fields={"hush": {}})))
