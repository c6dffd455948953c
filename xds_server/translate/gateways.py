"""Consul's gateways: what the config entry of a gateway asks of the proxies that are its instances.

https://developer.hashicorp.com/consul/docs/connect/config-entries/ingress-gateway and
.../terminating-gateway . A gateway is closed where it would be open to more than its entry means: TLS that is
asked for without a certificate, and a way out without TLS.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from xds_server.model.entries import (
    Gateway,
    IngressGateway,
    IngressListener,
    IngressService,
    LinkedService,
    TerminatingGateway,
)
from xds_server.model.policy import (
    GatewayPolicy,
    Hostnames,
    Listener,
    ListenerKind,
    Policy,
    Protocol,
    Route,
    ServicePolicy,
    UpstreamFiles,
    WeightedService,
)
from xds_server.model.problem import Code, Problem
from xds_server.translate import names

_EVERY: Final = "*"
_NO_POLICY: Final = GatewayPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """What a gateway opens: its listeners, and the services behind them with how they are reached from it.

    `named` are the server names by which clients of a terminating gateway say which service they mean.
    """

    listeners: tuple[Listener, ...] = ()
    services: Mapping[str, ServicePolicy]
    named: Mapping[str, tuple[str, ...]]
    problems: tuple[Problem, ...] = ()


def named_services(gateway: Gateway) -> frozenset[str] | None:
    """Name the services that a gateway leads to, whether they are there or not; None where it may be any."""
    match gateway:
        case IngressGateway():
            found = frozenset(one.name for listener in gateway.listeners for one in listener.services)
        case TerminatingGateway():
            found = frozenset(one.name for one in gateway.services)
    return None if _EVERY in found else found


def opened(
    name: str, gateway: Gateway | None, served: Mapping[str, ServicePolicy], policy: Policy, datacenter: str
) -> Open:
    """Give what the gateway called `name` opens of the services that are served."""
    own = policy.gateways.get(name, _NO_POLICY)
    source = f'gateway "{name}"'
    match gateway:
        case IngressGateway():
            return _ingress(gateway, own, served, source)
        case TerminatingGateway():
            return _terminating(gateway, own, served, source, datacenter)
        case None:
            sentence = (
                "a proxy says that it is an instance of this gateway, and Consul has no ingress-gateway or "
                "terminating-gateway entry of that name; write one, or start the proxy without --gateway"
            )
            return _closed(Problem(code=Code.GATEWAY_CLOSED, source=source, sentence=sentence))


def _closed(*problems: Problem) -> Open:
    return Open(services={}, named={}, problems=problems)


# --- ingress ---------------------------------------------------------------------------------------------


def _ingress(
    gateway: IngressGateway, own: GatewayPolicy, served: Mapping[str, ServicePolicy], source: str
) -> Open:
    open_ = [one for one in gateway.listeners if not one.tls or own.tls is not None]
    listeners = tuple(_ingress_listener(one, own, served, source) for one in open_)
    led_to = {target.service for one in listeners for target in one.targets}
    led_to |= {target.service for one in listeners for route in one.routes for target in route.targets}
    return Open(
        listeners=listeners,
        services={name: policy for name, policy in served.items() if name in led_to},
        named={},
        problems=tuple(
            _no_certificate(gateway, one, source) for one in gateway.listeners if one not in open_
        ),
    )


def _no_certificate(gateway: IngressGateway, one: IngressListener, source: str) -> Problem:
    sentence = (
        f"its entry asks for TLS on port {one.port}, and no certificate is set for it, so that stays closed; "
        f"name one in gateways.{gateway.name}.certificate"
    )
    return Problem(code=Code.GATEWAY_CLOSED, source=source, sentence=sentence)


def _ingress_listener(
    one: IngressListener, own: GatewayPolicy, served: Mapping[str, ServicePolicy], source: str
) -> Listener:
    listener = Listener(
        name=f"ingress-{one.port}",
        address=own.address,
        port=one.port,
        tls=own.tls if one.tls else None,
        source=source,
    )
    if one.protocol == Protocol.TCP:
        targets = tuple(WeightedService(service=service.name) for service in one.services)
        return replace(listener, kind=ListenerKind.TCP, targets=targets)
    return replace(listener, routes=tuple(_routes(one.services, served, source)))


def _routes(
    services: Iterable[IngressService], served: Mapping[str, ServicePolicy], source: str
) -> Iterable[Route]:
    for service in services:
        meant = [service.name]
        if service.name == _EVERY:
            meant = [name for name, policy in served.items() if policy.protocol is not Protocol.TCP]
        for name in meant:
            hosts = service.hosts or (f"{name.lower()}.ingress.*",)
            yield Route(hosts=hosts, targets=(WeightedService(service=name),), source=source)


# --- terminating -----------------------------------------------------------------------------------------


def _terminating(
    gateway: TerminatingGateway,
    own: GatewayPolicy,
    served: Mapping[str, ServicePolicy],
    source: str,
    datacenter: str,
) -> Open:
    if own.tls is None or not own.tls.client_ca:
        sentence = (
            "a terminating gateway is a way out of the mesh, so its clients have to be known: name its "
            f"certificate and client_ca in gateways.{gateway.name}; until then it stays closed"
        )
        return _closed(Problem(code=Code.GATEWAY_CLOSED, source=source, sentence=sentence))
    problems: list[Problem] = []
    reached: dict[str, ServicePolicy] = {}
    for name, link in _links(gateway, served).items():
        if link.ca_file and not link.sni:
            sentence = (
                f'service "{name}" has a CAFile and no SNI, so any certificate of that CA would do for it; '
                "it is left out until the entry names the SNI"
            )
            problems.append(Problem(code=Code.GATEWAY_LINK, source=source, sentence=sentence))
        else:
            reached[name] = _from_the_gateway(link, served[name])
    listener = Listener(
        name="terminating",
        address=own.address,
        port=own.port,
        kind=ListenerKind.TCP,
        tls=own.tls,
        source=source,
    )
    return Open(
        listeners=(listener,) if reached else (),
        services=reached,
        named={name: tuple(names.domains(name, datacenter)) for name in reached},
        problems=tuple(problems),
    )


def _links(gateway: TerminatingGateway, served: Mapping[str, ServicePolicy]) -> Mapping[str, LinkedService]:
    """Give the link of each service that is served; one of its own goes before the one for every service."""
    every = [link for link in gateway.services if link.name == _EVERY]
    links = {name: link for link in every for name in served}
    links.update({link.name: link for link in gateway.services if link.name in served})
    return dict(sorted(links.items()))


def _from_the_gateway(link: LinkedService, policy: ServicePolicy) -> ServicePolicy:
    """Give how a service outside is reached: often by a host name, and with the TLS of the link."""
    tls = policy.tls
    if link.ca_file:
        tls = UpstreamFiles(
            ca_file=link.ca_file, sni=link.sni, cert_file=link.cert_file, key_file=link.key_file
        )
    return replace(policy, tls=tls, hostnames=Hostnames.RESOLVE)
