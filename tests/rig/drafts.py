"""Drafts as a build takes them."""

from collections.abc import Iterable

from xds_server.model.table import Table
from xds_server.model.types import TypeUrl
from xds_server.translate.packing import Draft


def tables(drafts: Iterable[Draft]) -> dict[TypeUrl, Table[Draft]]:
    """Give drafts in any order by type and name; of two of one name the last stays."""
    every = tuple(drafts)
    return {
        type_url: Table({one.name: one for one in every if one.type is type_url})
        for type_url in {one.type for one in every}
    }
