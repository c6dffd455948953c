"""The admin HTTP port: health, metrics, problems, reported load, and discovery by polling."""

from xds_server.admin.http import AdminServer, application

__all__ = ["AdminServer", "application"]
