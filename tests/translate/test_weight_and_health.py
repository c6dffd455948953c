import pytest

from xds_server.model.catalog import Instance, Status, Weights
from xds_server.translate.health import HealthStatus, weight_and_health

HEALTHY, UNHEALTHY = HealthStatus.HEALTHY, HealthStatus.UNHEALTHY


@pytest.mark.parametrize(
    ("statuses", "passing", "warning", "expected"),
    [
        ("", 1, 1, (1, HEALTHY)),
        ("", 7, 3, (7, HEALTHY)),
        ("passing", 7, 3, (7, HEALTHY)),
        ("passing warning", 7, 3, (3, HEALTHY)),
        ("warning critical", 7, 3, (3, UNHEALTHY)),
        ("critical", 7, 3, (7, UNHEALTHY)),
        ("maintenance passing", 7, 3, (7, UNHEALTHY)),
        ("passing", 0, 3, (1, UNHEALTHY)),
        ("warning", 0, 3, (3, HEALTHY)),
        ("warning", 7, 0, (1, UNHEALTHY)),
        ("passing", -1, 1, (1, UNHEALTHY)),
        ("critical", 0, 0, (1, UNHEALTHY)),
        ("passing", 129, 1, (129, HEALTHY)),
        ("passing", 65535, 1, (65535, HEALTHY)),
        ("passing", 65536, 1, (65535, HEALTHY)),
        ("warning", 1, 2**32, (65535, HEALTHY)),
        ("critical", 2**32, 1, (65535, UNHEALTHY)),
    ],
)
def test_weight_and_health(
    statuses: str, passing: int, warning: int, expected: tuple[int, HealthStatus]
) -> None:
    said = tuple(sorted(map(Status, statuses.split())))
    weights = Weights(passing=passing, warning=warning)

    instance = Instance(node="n", id="i", address="10.0.0.1", port=80, statuses=said, weights=weights)

    assert weight_and_health(instance) == expected
