"""F-e: whatever a settings file holds is settings, which can be shown and loaded again, or findings."""

from pathlib import Path

import yaml

from tests.fuzz.mutation import mutated
from tests.fuzz.target import Target, contents, workplace
from tests.runtime.inputs import catalog
from xds_server.model.problem import Code
from xds_server.model.proxy import Client, Group
from xds_server.model.secret import Secrets
from xds_server.settings import Settings, SettingsError, load, show
from xds_server.snapshot import EMPTY, build
from xds_server.translate import Translator

_NEVER = {Code.RESOURCE_INVALID, Code.ENDPOINT_INVALID, Code.TRANSLATION_FAILED}


def fuzz_one(data: bytes) -> None:
    settings = loaded(data)
    if settings is None:
        return
    again = yaml.safe_dump(show(settings))
    assert loaded(again.encode()) is not None, again
    for group in (Group(on_demand=True), Group(client=Client.GRPC)):
        made = Translator(group).translate(catalog(user=8001), settings.policy, Secrets())
        snapshot = build(made.drafts, made.problems, EMPTY, made.derived)
        assert {problem.code for problem in snapshot.problems}.isdisjoint(_NEVER), snapshot.problems


def loaded(data: bytes) -> Settings | None:
    file = workplace() / "xds.yaml"
    file.write_bytes(data)
    try:
        return load(flags={}, environ={}, file=file)
    except SettingsError as error:
        told(error.findings, file)
        return None


def told(findings: tuple[str, ...], file: Path) -> None:
    assert findings
    for finding in findings:
        assert finding.startswith(str(file)), finding
        assert finding.isprintable(), finding
        assert len(finding) < 4000, finding


_ROOT = Path(__file__).parents[2]
_WRITTEN = [
    path.read_bytes()
    for path in (
        _ROOT / "deploy" / "xds-server.example.yaml",
        *sorted((_ROOT / "tests/golden").glob("*/settings.yaml")),
    )
]
TARGET = Target(
    name="settings-yaml",
    inputs=mutated([*_WRITTEN, *contents("settings-yaml")]),
    one=fuzz_one,
    of_bytes=bytes,
)
