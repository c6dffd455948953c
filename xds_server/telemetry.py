"""Every metric and every log event of the server, in one list each.

A log line is an event name and fields, one line of JSON, or readable text on a terminal. Values are cut to
1,000 characters and control characters are escaped, so nothing a proxy or a service owner writes can forge
a line. `docs/reference/metrics.md` and `docs/reference/events.md` have a heading for each name.
"""

import json
import logging
import sys
import time
from enum import StrEnum
from typing import Any, Final, TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

_MAX_VALUE: Final = 1000
_LOGGER: Final = logging.getLogger("xds_server")


class Event(StrEnum):
    """What can be read in the log."""

    SERVER_STARTED = "server.started"
    SERVER_STOPPING = "server.stopping"
    SERVER_STOPPED = "server.stopped"
    WORKER_LISTENING = "worker.listening"
    TASK_FAILED = "task.failed"
    LOOP_BLOCKED = "loop.blocked"
    LOOP_UNBLOCKED = "loop.unblocked"
    CATALOG_SYNCED = "catalog.synced"
    CATALOG_FILE_RELOADED = "catalog.file_reloaded"
    CATALOG_FILE_REFUSED = "catalog.file_refused"
    LAST_GOOD_LOADED = "last_good.loaded"
    LAST_GOOD_REFUSED = "last_good.refused"
    LAST_GOOD_KEPT = "last_good.kept"
    LAST_GOOD_NOT_KEPT = "last_good.not_kept"
    CONSUL_CONNECTED = "consul.connected"
    CONSUL_UNREACHABLE = "consul.unreachable"
    CONSUL_ADDRESS_USED = "consul.address_used"
    CONSUL_LOGGED_IN = "consul.logged_in"
    CONSUL_LOGIN_FAILED = "consul.login_failed"
    CONSUL_TLS_REFUSED = "consul.tls_refused"
    CONSUL_QUERY_FAILED = "consul.query_failed"
    CONSUL_QUERY_RECOVERED = "consul.query_recovered"
    CONSUL_ENTRIES_FAILED = "consul.entries_failed"
    CONSUL_ENTRIES_RECOVERED = "consul.entries_recovered"
    CONSUL_WATCHES_SHARED = "consul.watches_shared"
    CONSUL_WIDE_FAILED = "consul.wide_failed"
    CONSUL_WIDE_RECOVERED = "consul.wide_recovered"
    CONSUL_CATALOG_DOUBTED = "consul.catalog_doubted"
    CONSUL_SYNC_DEADLINE = "consul.sync_deadline"
    CONSUL_BREAKER_OPENED = "consul.breaker_opened"
    CONSUL_BREAKER_CLOSED = "consul.breaker_closed"
    CONSUL_DATACENTERS_MISSING = "consul.datacenters_missing"
    CONSUL_DATACENTER_LOST = "consul.datacenter_lost"
    CONSUL_DATACENTER_BACK = "consul.datacenter_back"
    CONSUL_REGISTERED = "consul.registered"
    CONSUL_NOT_REGISTERED = "consul.not_registered"
    FILES_SCARCE = "files.scarce"
    FILES_ENOUGH = "files.enough"
    SETTINGS_RELOADED = "settings.reloaded"
    SETTINGS_REFUSED = "settings.refused"
    SECRET_RELOADED = "secret.reloaded"  # noqa: S105 - the name of an event
    SECRET_REFUSED = "secret.refused"  # noqa: S105 - the name of an event
    CONTROL_FROZEN = "control.frozen"
    CONTROL_THAWED = "control.thawed"
    CONTROL_ROLLED_BACK = "control.rolled_back"
    CONTROL_ACCEPTED = "control.accepted"
    CONTROL_RESTORED = "control.restored"
    CONTROL_REFUSED = "control.refused"
    ADMIN_SOCKET_OPENED = "admin.socket_opened"
    ADMIN_SOCKET_FAILED = "admin.socket_failed"
    PREFLIGHT_FAILED = "preflight.failed"
    PREFLIGHT_REFUSED = "preflight.refused"
    GUARD_HELD = "guard.held"
    GUARD_RELEASED = "guard.released"
    SNAPSHOT_PUBLISHED = "snapshot.published"
    SNAPSHOT_FAILED = "snapshot.failed"
    SNAPSHOT_BEHIND = "snapshot.behind"
    STREAM_OPENED = "stream.opened"
    STREAM_CLOSED = "stream.closed"
    STREAM_REFUSED = "stream.refused"
    STREAM_FAILED = "stream.failed"
    RESPONSE_LARGE = "xds.response_large"
    XDS_NACK = "xds.nack"
    CLIENT_LAGGING = "client.lagging"
    CLIENT_CAUGHT_UP = "client.caught_up"


disable_created_metrics()  # type: ignore[no-untyped-call]  # a `_created` series beside each counter would double what is scraped

REGISTRY: Final = CollectorRegistry()

STREAMS: Final = Gauge("xds_streams", "Open xDS streams.", ["variant"], registry=REGISTRY)
REQUESTS: Final = Counter(
    "xds_requests", "Discovery requests received.", ["variant", "type"], registry=REGISTRY
)
RESPONSES: Final = Counter(
    "xds_responses", "Discovery responses sent.", ["variant", "type"], registry=REGISTRY
)
RESPONSE_BYTES: Final = Counter(
    "xds_response_bytes", "Bytes of discovery responses sent.", ["variant", "type"], registry=REGISTRY
)
LARGE_RESPONSES: Final = Counter(
    "xds_large_responses", "Responses to gRPC clients above the 4 MB these accept.", registry=REGISTRY
)
STREAMS_REFUSED: Final = Counter(
    "xds_streams_refused", "Streams ended with an error, by gRPC status.", ["status"], registry=REGISTRY
)
STREAMS_NOT_ADMITTED: Final = Counter(
    "xds_streams_not_admitted",
    "New streams refused, by what there was too much of.",
    ["reason"],
    registry=REGISTRY,
)
NACKS: Final = Counter("xds_nacks", "Responses an xDS client rejected.", ["type"], registry=REGISTRY)
SNAPSHOT_BUILDS: Final = Counter(
    "xds_snapshot_builds", "Snapshots built, by what came of it.", ["result"], registry=REGISTRY
)
SNAPSHOT_SECONDS: Final = Histogram(
    "xds_snapshot_build_seconds",
    "Time from a set of inputs to the published snapshot.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
    registry=REGISTRY,
)
SNAPSHOT_RESOURCES: Final = Gauge(
    "xds_snapshot_resources", "Resources in the newest snapshot.", ["type"], registry=REGISTRY
)
PREFLIGHTS: Final = Counter(
    "xds_preflights",
    "Changes shown to an Envoy before the clients, by what it made of them.",
    ["result"],
    registry=REGISTRY,
)
PREFLIGHT_SECONDS: Final = Histogram(
    "xds_preflight_seconds",
    "Time from the question to the answer of the Envoy that is shown a change.",
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5),
    registry=REGISTRY,
)
PROBLEMS: Final = Gauge("xds_problems", "Problems of what is served now.", ["code"], registry=REGISTRY)
HOLDS: Final = Gauge("xds_holds", "What guards hold back, by guard.", ["guard"], registry=REGISTRY)
READY: Final = Gauge("xds_ready", "1 once the first catalog was synced.", registry=REGISTRY)
FROZEN: Final = Gauge(
    "xds_frozen", "1 while an operator decides what is served: frozen, or rolled back.", registry=REGISTRY
)
CONSUL_WATCHES: Final = Gauge("xds_consul_watches", "Long polls to Consul that are open.", registry=REGISTRY)
CONSUL_QUERIES: Final = Counter(
    "xds_consul_queries",
    "Queries to Consul, by what they were for and how they ended.",
    ["kind", "result"],
    registry=REGISTRY,
)
CONSUL_CONNECTIONS: Final = Gauge(
    "xds_consul_connections", "Queries to Consul that may be open at once.", registry=REGISTRY
)
CONSUL_SERVICES: Final = Gauge(
    "xds_consul_services", "Services of Consul, by how they are followed.", ["followed"], registry=REGISTRY
)
CONSUL_BUDGET_WAITS: Final = Counter(
    "xds_consul_budget_waits", "Queries to Consul that had to wait for their turn.", registry=REGISTRY
)
CONSUL_BREAKER: Final = Gauge(
    "xds_consul_breaker_open", "Sources that only probe whether Consul answers again.", registry=REGISTRY
)
SOURCE_STATE: Final = Gauge(
    "xds_source_state",
    "1 for the state a source of the catalog is in, 0 for the others.",
    ["source", "state"],
    registry=REGISTRY,
)
SOURCE_SINCE: Final = Gauge(
    "xds_source_state_since_timestamp_seconds",
    "Since when a source is in its state, as a Unix time.",
    ["source"],
    registry=REGISTRY,
)
LAST_GOOD_WRITES: Final = Counter(
    "xds_last_good_writes",
    "Writes of the file with the last good state, by what came of it.",
    ["result"],
    registry=REGISTRY,
)
LAST_GOOD_AT: Final = Gauge(
    "xds_last_good_timestamp_seconds",
    "When the last good state on disk was last known to be true, as a Unix time; 0 for none.",
    registry=REGISTRY,
)
LAST_GOOD_BYTES: Final = Gauge(
    "xds_last_good_bytes", "Size of the file with the last good state when it was written.", registry=REGISTRY
)
SETTINGS_RELOADS: Final = Counter(
    "xds_settings_reloads", "Reloads of the settings file, by what came of it.", ["result"], registry=REGISTRY
)
CERTIFICATE_EXPIRY: Final = Gauge(
    "xds_certificate_expiry_timestamp_seconds",
    "When a served certificate expires, as a Unix time.",
    ["secret"],
    registry=REGISTRY,
)
WORKERS: Final = Gauge(
    "xds_workers", "Worker processes that listen; 0 where the server needs none.", registry=REGISTRY
)
TASK_FAILURES: Final = Counter(
    "xds_task_failures", "Failures of parts of the server, each started again.", ["task"], registry=REGISTRY
)
LOOP_LAG: Final = Histogram(
    "xds_loop_lag_seconds",
    "How much later than asked the event loop wakes a task.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
    registry=REGISTRY,
)
LOOP_LAG_WORST: Final = Gauge(
    "xds_loop_lag_worst_seconds", "The greatest lag of the event loop in the last minute.", registry=REGISTRY
)
LAGGING_CLIENTS: Final = Gauge(
    "xds_lagging_clients", "Streams whose client does not take what it is sent.", registry=REGISTRY
)
CLIENT_LAG: Final = Gauge(
    "xds_client_lag_seconds_max",
    "For how long the client that lags most has not taken what it was sent.",
    registry=REGISTRY,
)
SNAPSHOT_BEHIND: Final = Gauge(
    "xds_snapshot_behind", "1 while what is served was made of something old.", registry=REGISTRY
)
COLLECTION_WORST: Final = Gauge(
    "xds_collection_worst_seconds",
    "The longest that Python's garbage collector has stopped this process.",
    registry=REGISTRY,
)
FILES_OPEN: Final = Gauge("xds_open_files", "Open file descriptors, sockets among them.", registry=REGISTRY)
FILES_LIMIT: Final = Gauge(
    "xds_max_files", "File descriptors that this process may have open.", registry=REGISTRY
)
BUILD_INFO: Final = Gauge("xds_build_info", "1, with the version as a label.", ["version"], registry=REGISTRY)


def log(
    event: Event, level: int = logging.INFO, *, exc_info: bool | BaseException = False, **fields: Any
) -> None:
    """Write one event with its fields (any values; their `str` is shown). Never pass key material.

    With `exc_info` the traceback of the exception being handled, or of the one given, goes with it.
    """
    _LOGGER.log(level, event.value, exc_info=exc_info, extra={"fields": fields})


class _Formatter(logging.Formatter):
    """Shared by both forms: takes an event apart into its parts, cut and escaped."""

    def parts(self, record: logging.LogRecord) -> dict[str, str | int | float]:
        fields: dict[str, Any] = getattr(record, "fields", {})
        result: dict[str, str | int | float] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage()[:_MAX_VALUE],
        }
        for key, value in fields.items():
            result[key] = value if isinstance(value, int | float) else str(value)[:_MAX_VALUE]
        if record.exc_info:
            result["trace"] = self.formatException(record.exc_info)[-4 * _MAX_VALUE :]
        return result


class JsonFormatter(_Formatter):
    """One JSON object a line: for machines."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line of one record."""
        return json.dumps(self.parts(record))


class TextFormatter(_Formatter):
    """Time, level, event, then `key=value`: for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line of one record."""
        parts = self.parts(record)
        head = f"{parts.pop('time')} {parts.pop('level'):<7} {parts.pop('event')}"
        return " ".join([head, *(f"{key}={json.dumps(value)}" for key, value in parts.items())])


def configure_logging(*, level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """Send the log to `stream` (standard error by default).

    `level` is a name of the standard library's levels in lower case; `form` is `text`, `json`, or `auto`:
    text on a terminal, JSON elsewhere.
    """
    target = sys.stderr if stream is None else stream
    text = form == "text" or (form == "auto" and target.isatty())
    handler = logging.StreamHandler(target)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    _LOGGER.setLevel(level.upper())
