"""What is served, as one immutable value: every resource named by the hash of its content.

This floor knows resources as bytes with a name and references; it does not know what an Envoy message means.
It is pure: the same drafts give the same versions in every replica, whatever was served before.
"""

from xds_server.snapshot.build import Origin, build, building
from xds_server.snapshot.fallback import can_fall_back, fall_back
from xds_server.snapshot.postpone import postpone
from xds_server.snapshot.resource import Key, Resource, absent
from xds_server.snapshot.snapshot import EMPTY, ResourceSet, Snapshot
from xds_server.snapshot.withhold import told_withheld

__all__ = [
    "EMPTY",
    "Key",
    "Origin",
    "Resource",
    "ResourceSet",
    "Snapshot",
    "absent",
    "build",
    "building",
    "can_fall_back",
    "fall_back",
    "postpone",
    "told_withheld",
]
