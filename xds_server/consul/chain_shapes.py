"""The JSON of a compiled discovery chain, as far as it is read; pure.

https://developer.hashicorp.com/consul/api-docs/discovery-chain . Unknown fields are skipped, but for those
of a match: with a condition left out, a route would take requests that are not its own.
"""

from typing import Any

import msgspec

from xds_server.consul.pieces import GoDuration, HeaderModifiers, Int


class HeaderCondition(msgspec.Struct, forbid_unknown_fields=True):
    """`ServiceRouteHTTPMatchHeader`."""

    Name: str
    Present: bool = False
    Exact: str = ""
    Prefix: str = ""
    Suffix: str = ""
    Contains: str = ""
    Regex: str = ""
    IgnoreCase: bool = False
    Invert: bool = False


class QueryCondition(msgspec.Struct, forbid_unknown_fields=True):
    """`ServiceRouteHTTPMatchQueryParam`."""

    Name: str
    Present: bool = False
    Exact: str = ""
    Regex: str = ""


class HttpMatch(msgspec.Struct, forbid_unknown_fields=True):
    """`ServiceRouteHTTPMatch`."""

    PathExact: str = ""
    PathPrefix: str = ""
    PathRegex: str = ""
    CaseInsensitive: bool = False
    Header: list[HeaderCondition] | None = None
    QueryParam: list[QueryCondition] | None = None
    Methods: list[str] | None = None


class MatchShape(msgspec.Struct, forbid_unknown_fields=True):
    """`ServiceRouteMatch`."""

    HTTP: HttpMatch | None = None


class DestinationShape(msgspec.Struct):
    """`ServiceRouteDestination`; where it leads to is told by the node that follows."""

    PrefixRewrite: str = ""
    RequestTimeout: GoDuration = 0
    IdleTimeout: GoDuration = 0
    NumRetries: Int = 0
    RetryOnConnectFailure: bool = False
    RetryOn: list[str] | None = None
    RetryOnStatusCodes: list[Int] | None = None
    RequestHeaders: HeaderModifiers | None = None
    ResponseHeaders: HeaderModifiers | None = None


class DefinitionShape(msgspec.Struct):
    """`ServiceRoute`."""

    Match: MatchShape | None = None
    Destination: DestinationShape | None = None


class RouteShape(msgspec.Struct):
    """`DiscoveryRoute`."""

    NextNode: str
    Definition: DefinitionShape | None = None


class SplitDefinition(msgspec.Struct):
    """`ServiceSplit`, as far as the split itself does not say it."""

    RequestHeaders: HeaderModifiers | None = None
    ResponseHeaders: HeaderModifiers | None = None


class SplitShape(msgspec.Struct):
    """`DiscoverySplit`; the weight is a percentage in steps of a hundredth."""

    NextNode: str
    Weight: float = 0.0
    Definition: SplitDefinition | None = None


class FailoverShape(msgspec.Struct):
    """`DiscoveryFailover`; the policy is one by locality."""

    Targets: list[str] | None = None
    Policy: Any = None


class ResolverShape(msgspec.Struct):
    """`DiscoveryResolver`."""

    Target: str
    Default: bool = False
    ConnectTimeout: GoDuration = 0
    RequestTimeout: GoDuration = 0
    Failover: FailoverShape | None = None


class RingHashShape(msgspec.Struct):
    """`RingHashConfig`."""

    MinimumRingSize: Int = 0
    MaximumRingSize: Int = 0


class LeastRequestShape(msgspec.Struct):
    """`LeastRequestConfig`."""

    ChoiceCount: Int = 0


class CookieShape(msgspec.Struct):
    """`CookieConfig`."""

    Session: bool = False
    TTL: GoDuration = 0
    Path: str = ""


class HashPolicy(msgspec.Struct):
    """`HashPolicy`; the source address has no field."""

    Field: str = ""
    FieldValue: str = ""
    CookieConfig: CookieShape | None = None
    SourceIP: bool = False
    Terminal: bool = False


class LoadBalancerShape(msgspec.Struct):
    """`LoadBalancer`."""

    Policy: str = ""
    RingHashConfig: RingHashShape | None = None
    LeastRequestConfig: LeastRequestShape | None = None
    HashPolicies: list[HashPolicy] | None = None


class NodeShape(msgspec.Struct):
    """`DiscoveryGraphNode`; which of the parts counts is told by the type."""

    Type: str
    Routes: list[RouteShape] | None = None
    Splits: list[SplitShape] | None = None
    Resolver: ResolverShape | None = None
    LoadBalancer: LoadBalancerShape | None = None


class SubsetShape(msgspec.Struct):
    """`ServiceResolverSubset`."""

    Filter: str = ""
    OnlyPassing: bool = False


class TargetShape(msgspec.Struct):
    """`DiscoveryTarget`."""

    Service: str
    ServiceSubset: str = ""
    Namespace: str = ""
    Partition: str = ""
    Datacenter: str = ""
    Peer: str = ""
    Subset: SubsetShape | None = None
    ConnectTimeout: GoDuration = 0
    SNI: str = ""
    Name: str = ""
    PrioritizeByLocality: Any = None


class ChainShape(msgspec.Struct):
    """`CompiledDiscoveryChain`."""

    ServiceName: str
    StartNode: str
    Namespace: str = ""
    Partition: str = ""
    Datacenter: str = ""
    Protocol: str = ""
    Nodes: dict[str, NodeShape] | None = None
    Targets: dict[str, TargetShape] | None = None


class ChainAnswerShape(msgspec.Struct):
    """The answer around it."""

    Chain: msgspec.Raw
