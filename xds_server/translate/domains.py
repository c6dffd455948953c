"""Which service answers to which domain."""

from collections.abc import Mapping

from xds_server.model.policy import Protocol
from xds_server.model.problem import Code, Problem
from xds_server.translate import names
from xds_server.translate.meaning import Meaning


def service_domains(
    services: Mapping[str, Meaning], datacenter: str
) -> tuple[Mapping[str, tuple[str, ...]], tuple[Problem, ...]]:
    """Give the domains of every HTTP service; of two with the same domain the shorter name has it.

    That is always the one whose DNS name it is: `USER.service.consul` cannot take a domain from `user`.
    """
    owners: dict[str, str] = {}
    found: dict[str, tuple[str, ...]] = {}
    problems: list[Problem] = []
    for service, meaning in sorted(services.items(), key=lambda item: item[0].lower()):
        if meaning.policy.protocol is Protocol.TCP:
            continue
        domains = tuple(names.domains(service, datacenter))
        for domain in domains:
            owner = owners.setdefault(domain, service)
            if owner != service:
                problems.append(_taken(domain, service, owner))
        found[service] = tuple(domain for domain in domains if owners[domain] == service)
    return found, tuple(problems)


def _taken(domain: str, service: str, owner: str) -> Problem:
    sentence = f'domain "{domain}" belongs to service "{owner}"; this service does not answer to it'
    return Problem(code=Code.DOMAIN_TAKEN, source=f'service "{service}"', sentence=sentence)
