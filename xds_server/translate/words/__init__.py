"""The service's own words: what Meta and tags of its registrations ask for, and what of that is granted.

Everything in a registration is foreign text. `read` turns it into typed values, one service at a time; what
passes is bounded, checked and literal. `grant` then lets services have hosts and paths of their own, but only
where the operator says so (`registrations.claims` of the settings), and `placed` puts them on listeners.
"""

from xds_server.translate.words.grant import grant
from xds_server.translate.words.pieces import is_silent
from xds_server.translate.words.place import placed
from xds_server.translate.words.read import read
from xds_server.translate.words.said import NOTHING, Asked, Granted, Owners, Place, Wish, Words

__all__ = [
    "NOTHING",
    "Asked",
    "Granted",
    "Owners",
    "Place",
    "Wish",
    "Words",
    "grant",
    "is_silent",
    "placed",
    "read",
]
