"""The state that is kept, and its bytes: a protobuf message `LastGood`."""

from dataclasses import dataclass, replace
from typing import Any, Final

from google.protobuf.message import DecodeError

from xds_server.files.last_good import codec
from xds_server.files.last_good.envelope import RefusedError
from xds_server.files.last_good.schema import descriptor, message_class
from xds_server.model.catalog import Catalog, Service, is_service_name
from xds_server.model.table import Table, differing
from xds_server.model.types import TypeUrl
from xds_server.model.withheld import Withheld
from xds_server.runtime.control import Kept

_NO_SERVICES: Final = Table[Service]()
_CATALOG: Final = descriptor("LastGood").fields_by_name["catalog"].number
_SERVICES: Final = descriptor("Catalog").fields_by_name["services"].number
_ENTRY: Final = message_class(descriptor("Catalog.ServicesEntry"))
_DELIMITED: Final = 2  # the wire type of messages, https://protobuf.dev/programming-guides/encoding/
_SEVEN_BITS: Final = 0x7F


@dataclass(frozen=True, slots=True, kw_only=True)
class LastGood:
    """What is served: the catalog as it is after the guards, or as an operator has `pinned` it.

    `withheld` is what clients refused.
    """

    catalog: Catalog
    withheld: tuple[Withheld, ...] = ()
    pinned: Kept | None = None

    def is_same(self, other: "LastGood | None") -> bool:
        """Tell whether nothing has changed; catalogs are told apart by identity."""
        return (
            other is not None
            and self.catalog is other.catalog
            and self.withheld == other.withheld
            and self.pinned == other.pinned
        )


class Encoder:
    """Makes the bytes; remembers those of each service, as one that stays the same object stays so."""

    def __init__(self) -> None:
        self._services = _NO_SERVICES
        self._known: dict[str, bytes] = {}

    def encode(self, state: LastGood) -> bytes:
        """Give the bytes of a state.

        Those of the services follow all else: a message that is there twice is merged, says the encoding.
        """
        catalog = state.catalog
        for name in differing(self._services, catalog.services):
            self._known.pop(name, None)
            if (service := catalog.services.get(name)) is not None:
                self._known[name] = _service(name, service)
        self._services = catalog.services
        rest = codec.to_message(
            LastGood(
                catalog=replace(catalog, services=_NO_SERVICES),
                withheld=tuple(_without_secrets(one) for one in state.withheld),
                pinned=state.pinned,
            )
        )
        services = b"".join(map(self._known.__getitem__, catalog.services))
        return rest.SerializeToString() + _delimited(_CATALOG, services)


def _service(name: str, service: Service) -> bytes:
    entry = _ENTRY(key=name, value=codec.of_class(Service).encode(service))
    return _delimited(_SERVICES, entry.SerializeToString())


def decode(body: bytes) -> LastGood:
    """Read a state. Raises RefusedError."""
    try:
        message: Any = message_class(descriptor("LastGood")).FromString(body)
        state: LastGood = codec.from_message(LastGood, message)
    except (DecodeError, ValueError, TypeError, KeyError) as error:
        raise RefusedError(f"says what this version of xds-server does not know ({error})") from None
    return replace(
        state,
        catalog=_without_strangers(state.catalog),
        withheld=tuple(_without_secrets(one) for one in state.withheld),
    )


def _without_strangers(catalog: Catalog) -> Catalog:
    """Give the same without services of names that no source gives: they would be names of clusters."""
    known = {
        name: one for name, one in catalog.services.items() if name == one.name and is_service_name(name)
    }
    if len(known) == len(catalog.services):
        return catalog
    return replace(catalog, services=Table(known))


def _without_secrets(withheld: Withheld) -> Withheld:
    """Give the same without resources that hold keys, which nobody should have put there."""
    return replace(withheld, kept=tuple(one for one in withheld.kept if one.type is not TypeUrl.SECRET))


def _delimited(number: int, data: bytes) -> bytes:
    return b"".join((_varint(number << 3 | _DELIMITED), _varint(len(data)), data))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > _SEVEN_BITS:
        out.append(value & _SEVEN_BITS | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
