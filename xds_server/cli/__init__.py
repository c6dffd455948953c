"""The command line: parse, call, print.

Each command imports what it needs when it runs, so that `--help` is quick.

Exit codes: 0 done, 1 something was found wrong or failed, 2 the call or the settings are not right,
3 the server cannot be reached.
"""

import importlib
from typing import Final

import click

# Command: the module that holds it, and the line shown in `xds-server --help`.
_COMMANDS: Final = {
    "serve": ("serve", "Serve the catalog to Envoy."),
    "bootstrap": ("bootstrap", "Print the bootstrap of an Envoy."),
    "render": ("render", "Print the xDS that a catalog file leads to; no network."),
    "config": ("config", "Check, show and describe the settings."),
    "status": ("status", "Show how far the catalog of a running server can be trusted."),
    "freeze": ("freeze", "Go on serving what is served now; --release ends it."),
    "rollback": ("rollback", "Serve what was served before."),
    "accept": ("accept", "Release what a guard holds back."),
    "demo": ("demo", "Run Consul, Envoy, four services and this server on this machine."),
    "version": ("version", "Print the version."),
}


class _Commands(click.Group):
    """Imports a command's module only when that command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            ctx.fail(f"there is no command {cmd_name!r}; the commands are {', '.join(_COMMANDS)}")
        module = importlib.import_module(f"xds_server.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.command(cls=_Commands)
def main() -> None:
    """Serve the Consul catalog to Envoy: the control plane for life without Kubernetes.

    \b
    Examples:
      xds-server demo                                     see all of it work, on this machine
      xds-server serve                                    serve the services of the local Consul
      xds-server bootstrap --id edge-1 --cluster edge > envoy.json
      envoy -c envoy.json
      curl -H 'Host: user' localhost:10000                a request to the service `user`

    Exit codes: 0 done, 1 something is wrong or failed, 2 the call or the settings are not right,
    3 the server cannot be reached.
    """  # noqa: D301 - click wants the character
