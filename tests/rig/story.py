"""A golden story: a folder of tests/golden with a catalog, settings, and the xDS that both lead to."""

import difflib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message

from tests.rig.pem import Authority
from xds_server.app.render import render
from xds_server.model.proxy import Client
from xds_server.model.secret import SecretFiles
from xds_server.model.types import TypeUrl
from xds_server.settings import load
from xds_server.snapshot import Snapshot
from xds_server.translate.render import SECTIONS, to_dict, unpack

GOLDEN = Path(__file__).parents[1] / "golden"
INPUTS = frozenset({"why.md", "catalog.yaml", "settings.yaml", "client.txt"})
PROBLEMS = "problems"
SHEETS = (*SECTIONS.values(), PROBLEMS)
"""What a story leads to; `<sheet>.yaml` holds what is expected, and no file means: nothing."""

GENERATED = "generated"
"""Secrets in this folder of a story are made anew for each run, so that no private key is committed."""

_HOW_TO_UPDATE = "If this is what you want: `make golden`, and read the diff before you commit it."

Sheets = dict[str, list[dict[str, Any]]]


class GoldenError(AssertionError):
    """An expected file is not right; the text says which and how to mend it."""


@dataclass(frozen=True)
class Rendered:
    """What a story leads to: the snapshot itself, and the same as plain values for people."""

    snapshot: Snapshot
    sheets: Sheets


def stories() -> list[str]:
    return sorted(path.parent.name for path in GOLDEN.glob("*/catalog.yaml"))


def client(folder: Path) -> Client:
    """Give the kind of client that a story is about: the word in its `client.txt`, else Envoy."""
    file = folder / "client.txt"
    return Client(file.read_text().strip()) if file.exists() else Client.ENVOY


def run_story(folder: Path, workplace: Path) -> Rendered:
    """Render a story in a copy of its folder, as `xds-server render` does."""
    here = workplace / folder.name
    shutil.copytree(folder, here)
    file, catalog = here / "settings.yaml", here / "catalog.yaml"
    settings = load(flags={"catalog": str(catalog)}, environ={}, file=file if file.exists() else None)
    _make_secrets(settings.secret_files, here / GENERATED)
    snapshot = render(settings, catalog, client(folder))
    sheets: Sheets = {
        section: [
            to_dict(_blank(unpack(type_url, one.packed))) for one in snapshot.sets[type_url].by_name.values()
        ]
        for type_url, section in SECTIONS.items()
    }
    sheets[PROBLEMS] = [
        {"code": str(one.code), "source": one.source, "sentence": one.sentence.replace(f"{here}/", "")}
        for one in snapshot.problems
    ]
    return Rendered(snapshot, sheets)


def _make_secrets(files: tuple[SecretFiles, ...], generated: Path) -> None:
    authority = Authority()
    for secret in files:
        certificate, key = authority.pair()
        for path, content in (
            (secret.cert_file, certificate),
            (secret.key_file, key),
            (secret.ca_file, authority.pem),
        ):
            if path and Path(path).parent == generated:
                generated.mkdir(exist_ok=True)
                Path(path).write_bytes(content)


def _blank(message: Message) -> Message:
    """Take the bytes out of a secret: they are others in every run."""
    if isinstance(message, Secret):
        certificate, validation = message.tls_certificate, message.validation_context
        for source in (certificate.certificate_chain, certificate.private_key, validation.trusted_ca):
            if source.HasField("inline_bytes"):
                source.inline_bytes = b""
    return message


def expected(folder: Path, sheet: str) -> list[dict[str, Any]]:
    """Read what a sheet should be, by way of Envoy's messages: an unknown field is an error, order is not."""
    file = folder / f"{sheet}.yaml"
    if not file.exists():
        return []
    found = yaml.safe_load(file.read_text())
    if not isinstance(found, list) or not found:
        raise GoldenError(
            f"{file} must be a list with something in it; delete the file if nothing is expected"
        )
    if sheet == PROBLEMS:
        return found
    by_section = {section: type_url for type_url, section in SECTIONS.items()}
    return sorted((_canonical(one, by_section[sheet], file) for one in found), key=_name)


def _canonical(value: dict[str, Any], type_url: TypeUrl, file: Path) -> dict[str, Any]:
    message = unpack(type_url, b"")
    try:
        ParseDict(value, message)
    except ParseError as error:
        raise GoldenError(f"{file} holds what is no {type_url.short}: {error}") from None
    return to_dict(_blank(message))


def _name(value: Mapping[str, Any]) -> str:
    return str(value.get("cluster_name") or value["name"])


def compare(folder: Path, sheet: str, actual: list[dict[str, Any]]) -> str:
    """Give the difference between what a sheet should be and what it is, empty if there is none."""
    want = expected(folder, sheet)
    if want == actual:
        return ""
    before, after = _text(want, sort_keys=True), _text(actual, sort_keys=True)
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"{folder.name}/{sheet}.yaml", "rendered", lineterm="", n=4
    )
    return "\n".join(lines)


def explain(differences: list[str]) -> str:
    return "\n\n".join((*differences, _HOW_TO_UPDATE))


def update(folder: Path, sheets: Sheets) -> None:
    """Write what is rendered as what is expected. A file that says the same already is left as it is."""
    for sheet, values in sheets.items():
        file = folder / f"{sheet}.yaml"
        if not values:
            file.unlink(missing_ok=True)
        elif _differs(folder, sheet, values):
            file.write_text(_text(values))


def _differs(folder: Path, sheet: str, values: list[dict[str, Any]]) -> bool:
    try:
        return bool(compare(folder, sheet, values))
    except (GoldenError, yaml.YAMLError):
        return True


def _text(values: list[dict[str, Any]], *, sort_keys: bool = False) -> str:
    return yaml.safe_dump(values, sort_keys=sort_keys, width=110, allow_unicode=True) if values else ""


def strays() -> list[Path]:
    """Give the files of tests/golden that belong to no story."""
    owned = INPUTS | {f"{sheet}.yaml" for sheet in SHEETS}
    complete = set(stories())
    return [
        path
        for path in sorted(GOLDEN.rglob("*"))
        if path.is_file()
        and not (path.parent.parent == GOLDEN and path.parent.name in complete and path.name in owned)
    ]


def remove_orphans() -> None:
    """Delete expected files whose story is gone. What a person wrote is left for that person to delete."""
    for path in strays():
        if (
            path.stem in SHEETS
            and path.parent.parent == GOLDEN
            and not (path.parent / "catalog.yaml").exists()
        ):
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
