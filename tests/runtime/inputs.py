"""What goes into a pipeline, for tests: catalogs of services on one machine."""

from xds_server.model.catalog import Catalog, Instance, Service, Status
from xds_server.model.policy import EndpointPolicy, Policy
from xds_server.model.secret import Secrets
from xds_server.runtime.debounce import Pace
from xds_server.runtime.latest import Latest
from xds_server.runtime.pipeline import Pipeline

LOOPBACK = Policy(endpoints=EndpointPolicy(allow_loopback=True))
AT_ONCE = Pace(quiet=0.0)


def catalog(**ports: int) -> Catalog:
    """Give a catalog with one instance on 127.0.0.1 for each service."""
    return Catalog.of("dc1", [_service(name, port) for name, port in ports.items()])


def _service(name: str, port: int) -> Service:
    return Service.of(
        name, [Instance(node="n1", id=name, address="127.0.0.1", port=port, statuses=(Status.PASSING,))]
    )


class Inputs:
    """The cells a pipeline reads from, and the pipeline."""

    def __init__(self, first: Catalog | None = None, pace: Pace = AT_ONCE) -> None:
        self.catalog: Latest[Catalog] = Latest(first)
        self.policy: Latest[Policy] = Latest(LOOPBACK)
        self.secrets: Latest[Secrets] = Latest(Secrets())
        self.pipeline = Pipeline(self.catalog, self.policy, self.secrets, pace)
