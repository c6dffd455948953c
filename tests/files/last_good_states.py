"""A state with one of everything that can be kept, as the golden file has it."""

from types import MappingProxyType

from xds_server.files.last_good import LastGood, SourceId
from xds_server.model.catalog import Catalog, Instance, Locality, Service, Status, Weights
from xds_server.model.chain import Chain, ChainRoute, LoadBalancer, Resolver, Router, Split, Splitter, Target
from xds_server.model.entries import (
    ConfigEntries,
    IngressGateway,
    IngressListener,
    IngressService,
    LinkedService,
    Override,
    TerminatingGateway,
)
from xds_server.model.policy import (
    CircuitBreakers,
    HashKind,
    HashOn,
    LbPolicy,
    OutlierDetection,
    Protocol,
    UpstreamFiles,
    UpstreamTls,
)
from xds_server.model.problem import Code, Problem
from xds_server.model.proxy import Client, Group
from xds_server.model.route import (
    HeaderChanges,
    PathKind,
    PathMatch,
    Retries,
    RouteMatch,
    TextKind,
    TextMatch,
    Treatment,
)
from xds_server.model.table import Table
from xds_server.model.types import TypeUrl
from xds_server.model.withheld import Kept, Refused, Withheld
from xds_server.runtime import control

AT = 1_790_000_000.0
CONSUL = SourceId(kind="consul", datacenter="dc1")
CANARIES = (b"CANARY-KEY", b"CANARY-TOKEN", b"PRIVATE KEY")

_INSTANCE = Instance(
    node="n1",
    id="user-1",
    address="10.0.0.1",
    port=8080,
    tagged=(("lan", "10.0.0.1", 8080), ("wan", "203.0.113.1", 80)),
    tags=("a", "ü"),
    meta=(("version", "2"),),
    weights=Weights(passing=0, warning=3),
    statuses=(Status.PASSING, Status.WARNING),
    node_meta=(("rack", "7"),),
    ports=(("http", 8080), ("metrics", 9090)),
    datacenter="dc1",
    locality=Locality(region="eu", zone="eu-1", sub_zone="a"),
    created=17,
    cut=True,
    index=42,
)
_CHANGES = HeaderChanges(add=(("a", "1"),), set=(("b", "2"),), remove=("c",))
_ROUTER = Router(
    routes=(
        ChainRoute(
            match=RouteMatch(
                path=PathMatch(kind=PathKind.REGEX, value="/u/.*", ignore_case=True),
                headers=(TextMatch(name="x-v", kind=TextKind.EXACT, value="2", invert=True),),
                query=(TextMatch(name="q"),),
                methods=("GET",),
            ),
            treatment=Treatment(
                prefix_rewrite="/",
                timeout=0.0,
                idle_timeout=1.5,
                retries=Retries(count=3, on=("5xx",), statuses=(503,), per_try=0.25),
                request=_CHANGES,
                response=_CHANGES,
            ),
            next="splitter:user",
        ),
        ChainRoute(match=RouteMatch(), treatment=Treatment(retries=Retries()), next="resolver:v2"),
    )
)
_CHAIN = Chain.of(
    "user",
    "http",
    "router:user",
    {
        "router:user": _ROUTER,
        "splitter:user": Splitter(
            splits=(
                Split(weight=9000, next="resolver:v2", request=_CHANGES, response=_CHANGES),
                Split(weight=1000, next="resolver:v2"),
            )
        ),
        "resolver:v2": Resolver(
            target="v2.user",
            failover=("v1.user",),
            connect_timeout=2.0,
            request_timeout=3.0,
            load_balancer=LoadBalancer(
                policy=LbPolicy.MAGLEV,
                hash_on=(HashOn(kind=HashKind.COOKIE, name="s", ttl=0.0, path="/", terminal=True),),
                ring_size=(None, 1024),
                choices=3,
            ),
        ),
    },
    {
        "v2.user": Target(
            id="v2.user",
            name="v2.user.default.dc1.internal.x",
            sni="user.example.com",
            service="user",
            subset="v2",
            datacenter="dc2",
            filter="Service.Meta.version == 2",
            only_passing=True,
            connect_timeout=1.0,
        )
    },
)
_OVERRIDES = tuple(
    Override(field=field, value=value, source='consul service-defaults "user"')
    for field, value in (
        ("protocol", Protocol.GRPC),
        ("connect_timeout", 5.0),
        ("request_timeout", None),
        ("panic_threshold", 0),
        ("hash_on", ()),
        ("ring_size", (8, None)),
        ("outlier_detection", OutlierDetection(interval=0.5, always_eject_one_host=None)),
        ("outlier_detection", None),
        ("circuit_breakers", CircuitBreakers(max_requests=10)),
        ("tls", UpstreamTls(ca="ca", sans=("user.example.com",), sni="s", certificate="c")),
        ("tls", UpstreamFiles(ca_file="/ca", sni="s", cert_file="/c", key_file="/k")),
    )
)
_PROBLEM = Problem(code=Code.SERVICE_NAME, source='consul service "a b"', sentence="x", index=5)

EVERYTHING = LastGood(
    catalog=Catalog(
        datacenter="dc1",
        services=Table(
            {
                "gone": Service(name="gone", instances=(_INSTANCE,), departed=True),
                "none": Service(name="none"),
                "user": Service(
                    name="user", instances=(_INSTANCE, Instance(node="n2", id="2", address="", port=0))
                ),
            }
        ),
        problems=(_PROBLEM,),
        entries=ConfigEntries(
            defaults=_OVERRIDES[:1],
            overrides=MappingProxyType({"user": _OVERRIDES}),
            chains=MappingProxyType({"user": _CHAIN}),
            gateways=MappingProxyType(
                {
                    "in": IngressGateway(
                        name="in",
                        listeners=(
                            IngressListener(
                                port=80,
                                protocol="http",
                                services=(IngressService(name="user", hosts=("user.example.com",)),),
                                tls=True,
                            ),
                        ),
                        tls=True,
                    ),
                    "out": TerminatingGateway(
                        name="out",
                        services=(
                            LinkedService(name="user", ca_file="/ca", cert_file="/c", key_file="/k", sni="s"),
                        ),
                    ),
                }
            ),
            problems=(_PROBLEM,),
        ),
        lost=frozenset({"dc2", "dc3"}),
    ),
    withheld=(
        Withheld(
            group=Group(client=Client.GRPC, admin_port=9901, on_demand=True, gateway="in"),
            agent="envoy 1.40.0",
            refused=(
                Refused(type=TypeUrl.CLUSTER, name="user", version="abc", by=("edge-1",), error="bad maglev"),
            ),
            kept=(
                Kept(
                    type=TypeUrl.CLUSTER,
                    name="user",
                    packed=b"\x00\xff",
                    references=((TypeUrl.ENDPOINTS, "user"),),
                    on_demand=True,
                    ttl=0.0,
                ),
            ),
        ),
    ),
    pinned=control.Kept(
        kind=control.Kind.FROZEN,
        number=7,
        at=AT - 60,
        since=AT - 30,
        by="uid 0 pid 1",
        reason="incident 4711",
    ),
)
