"""Whatever Consul lists costs itself only, is named, and comes to what the table says: 1 to 64."""

import pytest
from envoy.config.core.v3.health_check_pb2 import HealthStatus

from tests.bad_inputs.case import Case, Expected
from tests.bad_inputs.outcome import ENVOY, GRPC, Outcome, outcome, policy_of
from tests.bad_inputs.table import CASES
from xds_server.model.catalog import Locality
from xds_server.model.policy import Policy
from xds_server.model.problem import Code, Problem
from xds_server.model.proxy import Group
from xds_server.translate.endpoints import load_assignment
from xds_server.translate.targets import Target

NEVER = {Code.RESOURCE_INVALID, Code.ENDPOINT_INVALID, Code.REFERENCE_MISSING, Code.TRANSLATION_FAILED}
"""What the nets below translation would say: here nothing may fall through to them."""


def marks(case: Case) -> list[pytest.MarkDecorator]:
    return [pytest.mark.case(case.number), *([pytest.mark.slow] if case.slow else [])]


each_case = pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=marks(case)) for case in CASES]
)


def undisturbed(policy: Policy, group: Group) -> dict[str, bytes]:
    return outcome({}, policy, group).good


def told(problem: Problem, expected: Expected) -> bool:
    code, part = expected
    return problem.code is code and part in f"{problem.source} {problem.sentence}"


def fits_on_a_line(text: str) -> bool:
    return text.isascii() and text.isprintable() and len(text) < 700


def check_sentences(found: Outcome) -> None:
    for problem in found.problems:
        assert fits_on_a_line(problem.source), problem.source
        assert fits_on_a_line(problem.sentence), problem.sentence


@each_case
def test_what_the_table_says_comes_of_it(case: Case, tmp_path):
    policy = policy_of(case.settings, tmp_path)

    found = outcome(case.listed, policy)

    assert found.served == case.served
    assert [one for one in case.problems if not any(told(problem, one) for problem in found.problems)] == []
    unexpected = [one for one in found.problems if not any(told(one, expected) for expected in case.problems)]
    assert unexpected == []
    check_sentences(found)
    assert found.good == undisturbed(policy, ENVOY)
    assert not case.nowhere or case.nowhere not in found.text()


@pytest.mark.parametrize("case", [case for case in CASES if not case.alone], ids=lambda case: case.name)
def test_a_grpc_client_is_not_disturbed_either(case: Case, tmp_path):
    policy = policy_of(case.settings, tmp_path)

    found = outcome(case.listed, policy, GRPC)

    assert found.good == undisturbed(policy, GRPC)
    assert {problem.code for problem in found.problems}.isdisjoint(NEVER)
    check_sentences(found)


@pytest.mark.parametrize("group", [ENVOY, GRPC], ids=["Envoy", "gRPC"])
def test_all_of_them_at_once_harm_nobody(group, tmp_path):
    policy = policy_of(next(case.settings for case in CASES if case.settings), tmp_path)
    listed = {name: rows for case in CASES if not case.alone for name, rows in case.listed.items()}

    found = outcome(listed, policy, group)

    assert len(listed) > 80
    assert found.good == undisturbed(policy, group)
    assert {problem.code for problem in found.problems}.isdisjoint(NEVER)
    check_sentences(found)


@pytest.mark.case(46)
@pytest.mark.parametrize("zones", ["a", "ab", "abc"])
def test_no_sum_of_weights_is_beyond_32_bits(zones):
    """As if there were 100,000 of the largest weight: protobuf would raise, and Envoy would refuse it."""
    targets = tuple(
        Target(
            host=f"10.0.0.{number}",
            port=80,
            is_name=False,
            weight=weight,
            status=HealthStatus.HEALTHY,
            locality=Locality(zone=zones[number % len(zones)]),
        )
        for number, weight in enumerate([2**32 - 1, 2**32 - 1, 2**31, 1, 0xFFFF * 100_000, 7])
    )

    made = load_assignment("user", (targets,))

    weights = [one.load_balancing_weight.value for place in made.endpoints for one in place.lb_endpoints]
    assert len(weights) == len(targets)
    assert min(weights) == 1
    assert max(weights) > 2**28
    assert sum(place.load_balancing_weight.value for place in made.endpoints) == sum(weights) < 2**32


def test_every_number_is_there():
    assert {case.number for case in CASES} == set(range(1, 65))
    assert len({case.name for case in CASES}) == len(CASES)
