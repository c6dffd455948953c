"""The admin HTTP port: health, state, metrics, problems, reported load, and discovery by polling."""

from xds_server.admin.access import Access
from xds_server.admin.http import AdminServer, application
from xds_server.admin.socket import SocketError
from xds_server.admin.state import Sources, WorkerState

__all__ = ["Access", "AdminServer", "SocketError", "Sources", "WorkerState", "application"]
