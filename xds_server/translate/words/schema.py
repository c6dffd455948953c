"""Every word that a registration may say, in one table; docs/reference/registrations.md is held to it.

In Meta a word is written `xds-<word>`, in a tag `xds.<word>=<value>`, where dots may stand for the dashes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from xds_server.model.policy import LbPolicy, OnWarning, Protocol
from xds_server.translate.words import values

META_PREFIX: Final = "xds-"
TAG_PREFIX: Final = "xds."

ENABLE: Final = "enable"
ROUTE: Final = "route"
SUBSET: Final = "subset"
CANARY: Final = "canary"

OWN_SUBSET: Final = frozenset({SUBSET, CANARY})
"""What each instance says of itself alone, so that instances may differ in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a word may say.

    `parse` raises `Misfit`; `field` is the field of `ServicePolicy` that it sets, empty for none; `flag`
    tells whether a tag may leave out its value, for `true`.
    """

    parse: Callable[[str], Any]
    field: str = ""
    flag: bool = False


_PROTOCOLS: Final = {
    "http": Protocol.HTTP1,
    "http1": Protocol.HTTP1,
    "http2": Protocol.HTTP2,
    "grpc": Protocol.GRPC,
    "tcp": Protocol.TCP,
    # TLS that the instances speak themselves is bytes to the proxy.
    "tls": Protocol.TCP,
}

# `passing`: only that is healthy, so an instance with a warning is kept for when it gets tight.
_HEALTH: Final = {"passing": OnWarning.DEGRADED, "warning": OnWarning.WEIGHT}

WORDS: Final[dict[str, Word]] = {
    # About the service, or the instance itself.
    ENABLE: Word(parse=values.boolean, flag=True),
    SUBSET: Word(parse=values.subset),
    CANARY: Word(parse=values.boolean, flag=True),
    "protocol": Word(parse=values.choice(_PROTOCOLS), field="protocol"),
    "health": Word(parse=values.choice(_HEALTH), field="on_warning"),
    "lb-policy": Word(parse=values.choice({str(one): one for one in LbPolicy}), field="lb_policy"),
    "hash-on": Word(parse=values.hash_on, field="hash_on"),
    "connect-timeout": Word(parse=values.seconds, field="connect_timeout"),
    "request-timeout": Word(parse=values.seconds, field="request_timeout"),
}

OPTIONS: Final[dict[str, Word]] = {
    # About one route: `<name>-<option>`; for the route without a name just `<option>`.
    "strip": Word(parse=values.strip, flag=True),
    "rewrite": Word(parse=values.target),
    "timeout": Word(parse=values.seconds),
    "retries": Word(parse=values.retries),
    "methods": Word(parse=values.methods),
    "headers": Word(parse=values.headers),
    "priority": Word(parse=values.priority),
    "listener": Word(parse=values.listener),
}
