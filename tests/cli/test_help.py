import os
import subprocess
import sys

import click
import pytest

from tests.cli.invoke import sentence, xds_server
from xds_server import __version__
from xds_server.cli import main


def commands(group=main, path=()):
    """Give every command that does something, by its path."""
    context = click.Context(group)
    found = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        deeper = isinstance(command, click.Group)
        found |= commands(command, (*path, name)) if deeper else {(*path, name): command}
    return found


COMMANDS = commands()


def test_there_are_commands():
    names = {" ".join(path) for path in COMMANDS}

    assert names >= {
        "serve",
        "bootstrap",
        "render",
        "config schema",
        "config check",
        "config show",
        "version",
    }


@pytest.mark.parametrize("path", [(), *COMMANDS], ids=" ".join)
def test_help_shows_an_example(path):
    result = xds_server(*path, "--help")
    _, heading, examples = result.stdout.partition("Example")

    assert (result.exit_code, heading) == (0, "Example")
    assert " ".join(("xds-server", *path)) in examples


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_says_what_it_is_for(path):
    silent = [
        one.name
        for one in COMMANDS[path].params
        if isinstance(one, click.Option) and not one.help and not isinstance(one.type, click.Choice)
    ]

    assert silent == []


def test_help_lists_every_command_with_its_line():
    result = xds_server("--help")

    for path in COMMANDS:
        assert f"\n  {path[0]} " in result.stdout


def test_version():
    result = xds_server("version")

    assert (result.exit_code, result.stdout) == (0, f"xds-server {__version__}\n")


def test_a_command_that_is_not_there():
    result = xds_server("sevre")

    assert result.exit_code == 2
    assert sentence(result).startswith(
        "Error: there is no command 'sevre'; the commands are serve, bootstrap"
    )


@pytest.mark.parametrize("path", [("serve",), ("render",), ("config", "show")])
def test_an_option_that_is_not_there(path):
    result = xds_server(*path, "--colour")

    assert result.exit_code == 2
    assert "No such option" in sentence(result)


HELP = "from xds_server.cli import main; main(['--help'], standalone_mode=False)"
START = "import xds_server.cli.serve, xds_server.app.serve"


@pytest.mark.parametrize(
    ("does", "not_for_it"),
    [
        (HELP, {"grpc", "aiohttp", "google.protobuf", "envoy", "rich", "yaml", "msgspec"}),
        # A server listens before it needs these.
        (START, {"anyio", "consul", "cryptography", "h2", "requests", "rich", "watchfiles"}),
    ],
    ids=["help", "start"],
)
def test_what_is_not_needed_is_not_loaded(does, not_for_it):
    script = f"import sys\n{does}\nprint('loaded:', sorted({not_for_it} & sys.modules.keys()))\n"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout.splitlines()[-1] == "loaded: []"


def test_help_is_quick():
    def seconds():
        help_ = subprocess.Popen([sys.executable, "-m", "xds_server", "--help"], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(help_.pid, 0)
        help_.returncode = os.waitstatus_to_exitcode(status)
        assert help_.returncode == 0
        return used.ru_utime + used.ru_stime

    # Of the processor, and the best of five: others use this machine, too.
    assert min(seconds() for _ in range(5)) < 0.3
