"""The settings: flags, environment and file become one frozen `Settings`, each value knowing its origin.

`shape` is what the file may look like; `values` is what it comes to; the other modules lead from one to
the other. Edges receive the plain values, never `Settings` itself.
"""

from xds_server.settings.load import load
from xds_server.settings.shape import json_schema
from xds_server.settings.show import leaves, show
from xds_server.settings.sources import SettingsError
from xds_server.settings.values import (
    AdminSettings,
    ConsulLogin,
    ConsulSettings,
    ConsulTls,
    LogSettings,
    ServerSettings,
    ServerTls,
    Settings,
    XdsSettings,
)

__all__ = [
    "AdminSettings",
    "ConsulLogin",
    "ConsulSettings",
    "ConsulTls",
    "LogSettings",
    "ServerSettings",
    "ServerTls",
    "Settings",
    "SettingsError",
    "XdsSettings",
    "json_schema",
    "leaves",
    "load",
    "show",
]
