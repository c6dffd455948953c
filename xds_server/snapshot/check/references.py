"""References close: nothing is served that points at something that is not.

Envoy acknowledges a route to an unknown cluster and answers 503 from it, and keeps a listener without its
routes or a TLS context without its secret in warming. Translation avoids all three; this is the net under it.
"""

from collections.abc import Iterator
from itertools import chain

from xds_server.model.problem import Code, Problem
from xds_server.model.table import differing
from xds_server.snapshot.resource import Resource, Resources


def close_references(
    resources: Resources, closed: Resources | None = None
) -> tuple[Resources, tuple[Problem, ...]]:
    """Give the resources without those whose references do not lead anywhere, and a problem for each.

    `closed` are other resources, of which all references lead somewhere: those that are in both, and lead to
    nothing that went, are not looked into.
    """
    kept = dict(resources)
    problems: list[Problem] = []
    while found := list(dangling(kept, closed)):
        problems.extend(_problem(resource, missing) for resource, missing in found)
        for type_url in {resource.type for resource, _ in found}:
            lost = dict.fromkeys(resource.name for resource, _ in found if resource.type is type_url)
            kept[type_url] = kept[type_url].changed(lost)
    return kept, tuple(problems)


def dangling(resources: Resources, closed: Resources | None = None) -> Iterator[tuple[Resource, str]]:
    """Give the resources whose references do not all lead somewhere, each with one that does not."""
    for resource in _suspects(resources, closed):
        for reference in resource.references:
            if reference.name not in resources[reference.type]:
                yield resource, f"{reference.type.short} {reference.name}"
                break


def _suspects(resources: Resources, closed: Resources | None) -> Iterator[Resource]:
    """Give what may lead nowhere: everything once something is gone, and else what is new."""
    if closed is not None:
        changed = {one: differing(closed[one], by_name) for one, by_name in resources.items()}
        if all(name in resources[one] for one, names in changed.items() for name in names):
            return (resources[one][name] for one, names in changed.items() for name in sorted(names))
    return chain.from_iterable(by_name.values() for by_name in resources.values())


def _problem(resource: Resource, missing: str) -> Problem:
    return Problem(
        code=Code.REFERENCE_MISSING,
        source=f"{resource.type.short} {resource.name}",
        sentence=f"it needs {missing}, which is not served; it is left out",
    )
