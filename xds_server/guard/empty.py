"""The empty guard: no empty list of listeners or of clusters follows one that was not, unless confirmed.

Envoy acknowledges an empty list and does away with everything (measured: connections are refused). No source
means that by accident more often than on purpose: an emptied settings file, a bug in the translation.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from xds_server.model.hold import Hold
from xds_server.model.proxy import Client, Group
from xds_server.model.types import TypeUrl
from xds_server.snapshot import Resource, ResourceSet
from xds_server.snapshot.withhold import withhold

NAME: Final = "empty"

Sets: TypeAlias = Mapping[TypeUrl, ResourceSet]

_GUARDED: Final = (TypeUrl.CLUSTER, TypeUrl.LISTENER)
"""Of the other types an empty list takes nothing away that one of these does not have to name."""

_WORDS: Final = {TypeUrl.CLUSTER: "clusters", TypeUrl.LISTENER: "listeners"}


def emptied(
    previous: Sets, following: Sets, group: Group, confirmed: frozenset[TypeUrl]
) -> tuple[TypeUrl, ...]:
    """Give the types whose last resources stay.

    | the list | of | goes |
    |---|---|---|
    | was empty before, or is not now | anyone | as it is |
    | is empty now | a gateway | as it is: it closes where it would be open too far, and must be able to |
    | is empty now | gRPC clients | as it is: each listener is asked for by its name, none stands for all |
    | is empty now, and confirmed | anyone | as it is |
    | is empty now | anyone else | not out: what it had stays |
    """
    if group.gateway or group.client is Client.GRPC:
        return ()
    return tuple(
        one
        for one in _GUARDED
        if previous[one].by_name and not following[one].by_name and one not in confirmed
    )


def refilled(previous: Sets, following: Sets, types: tuple[TypeUrl, ...]) -> dict[TypeUrl, ResourceSet]:
    """Give `following` with the resources of `types` as they were, and what of theirs is missing."""

    def good(key: tuple[TypeUrl, str]) -> Resource | None:
        return previous[key[0]].by_name.get(key[1])

    keys = [(one, name) for one in types for name in previous[one].by_name]
    resources = {type_url: one.by_name for type_url, one in following.items()}
    changed = withhold(resources, keys, good, stand_ins=False)
    return dict(following) | {
        type_url: ResourceSet(by_name, following[type_url].derive) for type_url, by_name in changed.items()
    }


def hold(type_url: TypeUrl, since: float) -> Hold:
    """Give the hold of one type, since a Unix time."""
    return Hold(
        guard=NAME,
        subject=type_url.short.lower(),
        sentence=(
            f"no {_WORDS[type_url]} are left; those that were there last are served, as an empty list would "
            "end all traffic"
        ),
        release=(
            "it ends when there are any again; if none are meant to be, "
            f"`xds-server accept {NAME}/{type_url.short.lower()}` ends it at once"
        ),
        since=since,
    )
