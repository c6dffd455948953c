"""References close: nothing is served that points at something that is not.

Envoy acknowledges a route to an unknown cluster and answers 503 from it, and keeps a listener without its
routes or a TLS context without its secret in warming. Translation avoids all three; this is the net under it.
"""

from collections.abc import Iterator, Mapping

from xds_server.model.problem import Code, Problem
from xds_server.model.types import TypeUrl
from xds_server.snapshot.resource import Resource, Resources


def close_references(resources: Resources) -> tuple[Resources, tuple[Problem, ...]]:
    """Give the resources without those whose references do not lead anywhere, and a problem for each."""
    kept = {type_url: dict(by_name) for type_url, by_name in resources.items()}
    problems: list[Problem] = []
    while dangling := list(_dangling(kept)):
        for resource, missing in dangling:
            del kept[resource.type][resource.name]
            problems.append(_problem(resource, missing))
    return kept, tuple(problems)


def _dangling(resources: Mapping[TypeUrl, Mapping[str, Resource]]) -> Iterator[tuple[Resource, str]]:
    for by_name in resources.values():
        for resource in by_name.values():
            for reference in resource.references:
                if reference.name not in resources[reference.type]:
                    yield resource, f"{reference.type.short} {reference.name}"
                    break


def _problem(resource: Resource, missing: str) -> Problem:
    return Problem(
        code=Code.REFERENCE_MISSING,
        source=f"{resource.type.short} {resource.name}",
        sentence=f"it needs {missing}, which is not served; it is left out",
    )
