"""The admin HTTP port: is it alive, is it ready, what does it count, what is wrong. Read-only."""

from xds_server.admin.http import AdminServer, application

__all__ = ["AdminServer", "application"]
