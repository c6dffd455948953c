"""From a place and what is wanted there to a route; for our own words and the dialects."""

from collections.abc import Mapping
from typing import Any

from xds_server.model.route import PathKind, PathMatch, RouteMatch, Treatment
from xds_server.translate.words import values
from xds_server.translate.words.said import Asked
from xds_server.translate.words.values import Misfit


def place(text: str) -> tuple[str, PathMatch]:
    """Read `host`, `/path` or `host/path` as a host (`*` for any) and a path. Raises `Misfit`."""
    host, slash, path = text.partition("/")
    if not host and not slash:
        raise Misfit("is empty; write host, /path or host/path")
    return values.host(host) if host else "*", values.path(slash + path) if slash else PathMatch()


def asked(text: str, options: Mapping[str, Any]) -> Asked:
    """Give the route for the value of a `route` word and its options, parsed. Raises `Misfit`."""
    host, path = place(text)
    return Asked(
        host=host,
        match=RouteMatch(path=path, headers=options.get("headers", ()), methods=options.get("methods", ())),
        treatment=Treatment(
            prefix_rewrite=_rewrite(path, options),
            timeout=options.get("timeout"),
            retries=options.get("retries"),
        ),
        priority=options.get("priority", 0),
        listener=options.get("listener", ""),
    )


def _rewrite(path: PathMatch, options: Mapping[str, Any]) -> str | None:
    off, to = options.get("strip", False), options.get("rewrite")
    if off is False:
        return None if to is None else joined(path, to)
    if to is not None:
        raise Misfit("has both strip and rewrite; keep one")
    return stripped(path, path.value if off is True else off)


def stripped(path: PathMatch, off: str, before: str = "") -> str:
    """Give what is written over a path match to take `off` from its beginning and put `before` there.

    Raises `Misfit` if the path does not begin with `off`.
    """
    if not path.value.startswith(off):
        raise Misfit(f"does not begin with {values.quoted(off)}, so that cannot be taken off")
    left = path.value.removeprefix(off).lstrip("/")
    return joined(path, f"{before.rstrip('/')}/{left}" if left or not before else before)


def joined(path: PathMatch, to: str) -> str:
    """Give what is written over a path match so that it meets what follows: `/v1` over `/api/` is `/v1/`.

    Raises `Misfit` where that takes a regular expression that is too large.
    """
    if path.kind is PathKind.EXACT:
        return to
    if path.value.endswith("/"):
        return to if to.endswith("/") else f"{to}/"
    return to
