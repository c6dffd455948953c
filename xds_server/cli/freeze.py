"""`xds-server freeze`: go on serving what is served now."""

import click

from xds_server.cli.admin_client import Reach, act, connection_options
from xds_server.cli.shown import outcome


@click.command()
@click.option("--release", is_flag=True, help="End a freeze or a rollback: follow the sources again.")
@click.option("--reason", metavar="TEXT", help="Why, for the log and for whoever looks at `status`.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@connection_options
def freeze(*, release: bool, reason: str | None, output: str, **reach: str | None) -> None:
    """Go on serving what is served now, whatever Consul and the settings file say.

    Secrets are followed all the same, so certificates do not expire. Envoys that come are served the same.

    \b
    Examples:
      xds-server freeze --reason 'registrations are wrong, INC-42'
      xds-server status
      xds-server freeze --release
      xds-server freeze --admin xds.example.com:18001 --tls-ca ca.pem --tls-cert me.pem --tls-key me.key

    Exit codes: 0 done, 1 it cannot be done, 2 the call is not right or not allowed, 3 the server cannot be
    reached.
    """  # noqa: D301 - click wants the character
    if release and reason:
        raise click.UsageError("--reason is for a freeze, not for --release")
    way = Reach(**reach)
    outcome(act(way, "thaw") if release else act(way, "freeze", reason=reason), output)
