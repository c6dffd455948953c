"""What the reference pages say is what the code does: neither more nor less."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.rig.marks import marked
from tests.runtime.inputs import Inputs
from xds_server import cli, telemetry
from xds_server.admin import application
from xds_server.model.problem import Code
from xds_server.runtime.load import Loads
from xds_server.telemetry import Event

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
PAGES = (
    "protocol",
    "protocol-cases",
    "metrics",
    "events",
    "problems",
    "cli",
    "admin",
    "faults",
    "bad-inputs",
)
RULE = re.compile(r"\bP-[01]\d\d\b")
CASE = re.compile(r"T-[A-Z]{2}-\d\d")
NAMED = re.compile(r"`(test_\w+)`")


def text(page: str) -> str:
    return (REFERENCE / f"{page}.md").read_text()


def sections(page: str) -> dict[str, str]:
    """Give what stands under each heading that is a name in backticks."""
    parts = re.split(r"^#{2,4} (.+)$", text(page), flags=re.MULTILINE)
    return {
        heading.strip("`"): body
        for heading, body in zip(parts[1::2], parts[2::2], strict=True)
        if heading.startswith("`")
    }


def rows(body: str) -> list[list[str]]:
    """Give the cells of every table row but the first two of a table."""
    lines = [line for line in body.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    heads = {index for index, row in enumerate(cells) if set(row[0]) == {"-"}}
    return [row for index, row in enumerate(cells) if index not in heads and index + 1 not in heads]


# --- events, problems, metrics ---------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "kind"), [("events", Event), ("problems", Code)])
def test_every_name_has_a_heading_and_every_heading_is_a_name(page, kind):
    assert list(sections(page)) == [member.value for member in kind]


@pytest.mark.parametrize("kind", [Event, Code])
def test_no_name_is_there_twice(kind):
    assert len({member.value for member in kind}) == len(kind.__members__)
    assert all(re.fullmatch(r"[a-z0-9._-]+", member.value) for member in kind)


def test_every_event_tells_its_level_and_its_fields():
    for event, body in sections("events").items():
        assert "\nLevel " in body, event
        assert "\nFields: " in body, event


def logged() -> Iterator[tuple[str, set[str]]]:
    """Give the event and the fields of every call of `log` that names its event."""
    for path in (ROOT / "xds_server").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name("log"), args=[ast.Attribute(ast.Name("Event"), member), *_]):
                    yield member, {keyword.arg for keyword in node.keywords if keyword.arg} - {"exc_info"}


def test_every_field_that_is_logged_is_told():
    told = {event: set(re.findall(r"`(\w+)`", body)) for event, body in sections("events").items()}
    calls = list(logged())

    assert len(calls) > 15
    for member, fields in calls:
        assert fields <= told[Event[member].value], member


def test_every_problem_has_an_example_and_a_cure():
    for code, body in sections("problems").items():
        assert "\nExample: " in body, code
        assert "\nTo mend it: " in body, code


def collectors() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Give kind and labels of each metric, by the name it is scraped under."""
    found = {}
    for collector in set(telemetry.REGISTRY._names_to_collectors.values()):
        suffix = "_total" if collector._type == "counter" else ""
        found[collector._name + suffix] = (collector._type, tuple(collector._labelnames))
    return found


def test_every_metric_has_a_heading_with_its_kind_and_its_labels():
    told = {}
    for name, body in sections("metrics").items():
        labels = re.search(r"^Labels: (.+)\.$", body, re.MULTILINE)
        kind = re.search(r"^An? (gauge|counter|histogram)\.$", body, re.MULTILINE)
        assert labels, name
        assert kind, name
        told[name] = (kind[1], tuple(re.findall(r"`(\w+)`", labels[1])))

    assert told == collectors()


def test_no_metric_is_there_twice():
    names = [metric.name for metric in telemetry.REGISTRY.collect()]

    assert len(set(names)) == len(names)
    assert all(name.startswith("xds_") for name in names)


# --- commands and paths ----------------------------------------------------------------------------------


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        elif command is not None:
            yield f"{path} {name}", command


COMMANDS = dict(commands(cli.main, "xds-server"))


def test_every_command_has_a_heading_and_every_heading_is_a_command():
    assert set(sections("cli")) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_told_and_every_told_option_is_there(command):
    body = sections("cli")[command]
    told = {flag for row in rows(body) for flag in re.findall(r"(?<=`)--?[\w-]+", row[0])}
    there = {flag for one in COMMANDS[command].params if isinstance(one, click.Option) for flag in one.opts}

    assert told == there
    assert ("It has no options." in body) == (not there)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_exit_codes_of_a_command_are_told(command):
    line = re.search(r"^Exit codes: (.+)$", sections("cli")[command], re.MULTILINE)

    assert line
    in_help = re.search(r"Exit codes: ([^.]+)\.", " ".join((COMMANDS[command].help or "").split()))
    if in_help:
        assert re.findall(r"\b[0-3]\b", line[1]) == re.findall(r"\b[0-3]\b", in_help[1])


def test_every_exit_code_is_told():
    told = {row[0]: row[1].rstrip(".").lower() for row in rows(text("cli")) if row[0].isdigit()}
    said = re.search(r"Exit codes: ([^.]+)\.", " ".join((cli.main.help or "").split()))

    assert said
    assert list(told) == re.findall(r"\b\d\b", said[1])


def test_every_path_of_the_admin_port_has_a_heading():
    routes = application(Inputs().pipeline, Loads()).router.resources()

    assert set(sections("admin")) == {resource.canonical for resource in routes}


# --- the protocol ----------------------------------------------------------------------------------------


def rules_done() -> dict[str, list[str]]:
    body = text("protocol").partition("## Known limits")[0]
    return {row[0]: row for row in rows(body)}


def rules_left() -> list[str]:
    body = text("protocol").partition("## Known limits")[2]
    return [row[0] for row in rows(body)]


def test_each_rule_is_done_or_not_and_told_once():
    left = rules_left()

    assert len(rules_done()) > 70
    assert all(RULE.fullmatch(rule) for rule in rules_done())
    assert len(set(left)) == len(left)
    assert set(left).isdisjoint(rules_done())
    assert text("protocol").count("| P-") == len(rules_done()) + len(left)


def test_every_rule_that_the_code_cites_is_on_the_page():
    cited = {rule for path in (ROOT / "xds_server").rglob("*.py") for rule in RULE.findall(path.read_text())}

    assert len(cited) > 30
    assert cited <= {*rules_done(), *rules_left()}


MARKED = marked("shows")


def test_the_module_and_the_test_of_every_rule_are_there():
    for rule, (_, _, where, test) in rules_done().items():
        assert (ROOT / "xds_server" / where.strip("`")).is_file(), rule
        named = set(NAMED.findall(test))
        assert named, rule
        assert named <= MARKED.get(rule, set()), rule


def test_what_is_not_done_is_not_shown():
    missing = text("protocol").partition("## What it does not do\n")[2]

    assert [row[0] for row in rows(missing) if row[0] in MARKED] == []


def test_every_number_a_test_is_marked_with_is_on_a_page():
    cases = {row[0] for row in rows(text("protocol-cases"))}

    assert sorted(MARKED.keys() - {*rules_done(), *rules_left(), *cases}) == []


def test_every_case_is_told_once_and_in_order():
    told = [row[0] for row in rows(text("protocol-cases"))]
    groups = list(dict.fromkeys(case[:-2] for case in told))

    assert all(CASE.fullmatch(case) for case in told)
    assert len(groups) == 9
    assert told == [
        f"{group}{number:02}" for group in groups for number in range(1, "".join(told).count(group) + 1)
    ]


def test_every_case_names_the_tests_that_show_it_and_no_others():
    for case, shown, tests in rows(text("protocol-cases")):
        assert shown.endswith("."), case
        assert set(NAMED.findall(tests)) == MARKED.get(case, set()), case
        assert NAMED.search(tests) or tests.startswith(("not applicable: ", "not yet: ")), case


# --- the form of the pages -------------------------------------------------------------------------------


def prose(page: str) -> Iterator[str]:
    """Give the lines that are neither code nor table."""
    in_code = False
    for line in text(page).splitlines():
        in_code ^= line.startswith("```")
        if not in_code and not line.startswith(("|", "    ", "```")):
            yield line


@pytest.mark.parametrize("page", PAGES)
def test_one_sentence_a_line(page):
    several = [line for line in prose(page) if re.search(r"[\w)`'\"]\.\s+[A-Z`]", re.sub(r"\d\. ", "", line))]

    assert several == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text(page)):
        if not target.startswith("https://"):
            assert (REFERENCE / target).resolve().is_file(), target
