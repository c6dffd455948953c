"""A settings file that is wrong is refused with its line, whole, before anything changes: 132 to 139."""

import os
import re

import pytest

from tests.cli.invoke import xds_server

BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(20)
)
LISTENER = "listeners: [{name: a, address: '0.0.0.0:80', routes: [%s]}]\n"

WRONG = [
    (132, "not YAML", "a: [1\n", "is not YAML"),
    (132, "a tab", "xds:\n\taddress: a:1\n", "indent with spaces"),
    (132, "not UTF-8", b"xds: \xff\n", "not UTF-8"),
    (132, "a control character", "xds: \x01\n", "is not YAML"),
    (132, "a list", "- xds\n", "expected a mapping"),
    (132, "UTF-16", "xds: {}\n".encode("utf-16"), ""),
    (133, "an unknown key", "xds: {adress: 'a:1'}\n", 'did you mean "address"?'),
    (133, "another type", "xds: {address: 18000}\n", "expected text"),
    (133, "a key twice", "xds: {}\nxds: {}\n", "is written twice"),
    (133, "a number that is too large", "xds: {max_streams: 99999999999999999999}\n", "xds.max_streams"),
    (134, "an alias bomb", BOMB, "alias"),
    (134, "a Python object", "xds: !!python/object/apply:os.system ['true']\n", "python/object"),
    (134, "a tag of YAML", "xds: !!set {a}\n", "set"),
    (134, "nested deeply", "a: " + "[" * 100_000, "nested deeper than 32"),
    (135, "a variable in an address", "consul: {address: '${CONSUL}'}\n", "consul.address"),
    (135, "a variable in a name", "services: {'$SERVICE': {}}\n", "cannot be the name of a service"),
    (136, "a secret without its key", "secrets: {a: {cert_file: c}}\n", "needs key_file as well"),
    (136, "one address twice", "{xds: {address: 'a:1'}, admin: {address: 'a:1'}}\n", "is the address of xds"),
    (
        137,
        "two routes for one place",
        LISTENER % "{service: a}, {service: b}",
        'listeners[0].routes[1]: has the host "*" and the path_prefix of listeners[0].routes[0]',
    ),
    (
        137,
        "two routes that share a host",
        LISTENER % "{service: a, hosts: [x, y]}, {service: b, hosts: [y]}",
        'listeners[0].routes[1]: has the host "y"',
    ),
    (138, "no listener", "default_listener: false\n", "no listener is left"),
]
RIGHT = [
    (132, "nothing at all", b""),
    (132, "comments only", b"# nothing\n"),
    (132, "a mark of UTF-8", b"\xef\xbb\xbfxds: {}\n"),
]


def each(cases):
    """Give the cases as parameters, without their numbers and titles."""
    return [
        pytest.param(*rest, id=f"{number} {what}", marks=pytest.mark.case(number))
        for number, what, *rest in cases
    ]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "xds.yaml"


def check_refused(file, part: str) -> None:
    result = xds_server("config", "check", file)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert part in result.stderr
    assert "Traceback" not in result.stderr
    for line in result.stderr.splitlines():
        assert line.isprintable()
        assert len(line) < 700


@pytest.mark.parametrize(("text", "part"), each(WRONG))
def test_it_is_refused_with_its_line(file, text, part):
    file.write_bytes(text if isinstance(text, bytes) else text.encode())

    check_refused(file, part)

    told = xds_server("config", "check", file).stderr
    assert re.search(rf"^(Error: )?{re.escape(str(file))}:", told, re.MULTILINE), told


@pytest.mark.parametrize("text", each(RIGHT))
def test_it_means_what_it_says(file, text):
    file.write_bytes(text)

    result = xds_server("config", "check", file)

    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.case(135)
def test_a_variable_stays_text(file, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_ENVIRONMENT", "leaked")
    file.write_text("consul: {token_file: '${SECRET_OF_THE_ENVIRONMENT}'}\n")

    shown = xds_server("config", "show", "--config", file)

    assert shown.exit_code == 0
    assert "${SECRET_OF_THE_ENVIRONMENT}" in shown.stdout
    assert "leaked" not in shown.stdout


@pytest.mark.case(136)
def test_a_path_is_that_of_the_file_it_stands_in(file, monkeypatch, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    file.write_text("secrets: {a: {ca_file: pki/ca.pem}}\n")

    assert str(tmp_path / "pki" / "ca.pem") in xds_server("config", "show", "--config", file).stdout


@pytest.mark.case(139)
@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "device", "too large"])
def test_what_is_no_file_is_never_waited_for(file, kind):
    match kind:
        case "folder":
            file.mkdir()
        case "fifo":
            os.mkfifo(file)
        case "device":
            file.symlink_to("/dev/zero")
        case "too large":
            file.write_bytes(b"#" * (64 * 1024 * 1024 + 1))

    said = {"missing": "does not exist", "too large": "is larger than"}
    check_refused(file, said.get(kind, "is not a regular file"))


@pytest.mark.case(139)
def test_whatever_is_cut_off_is_refused_or_is_settings(file):
    whole = "xds: {address: '127.0.0.1:18500'}\nservices:\n  user: {protocol: grpc}\n"
    for end in range(len(whole)):
        file.write_text(whole[:end])

        assert xds_server("config", "check", file).exit_code in (0, 2)
