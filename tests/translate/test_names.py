import pytest
from hypothesis import given
from hypothesis import strategies as st

from xds_server.model.catalog import is_service_name
from xds_server.settings.addresses import is_name
from xds_server.translate import names

service_names = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?", fullmatch=True).filter(
    is_service_name
)
other_names = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?", fullmatch=True).filter(is_name)


def test_the_domains_of_a_service() -> None:
    assert list(names.domains("User", "Berlin")) == [
        "user",
        "user.service.consul",
        "user.service.berlin.consul",
    ]
    assert list(names.domains("user", "")) == ["user", "user.service.consul"]


@given(st.sets(service_names, max_size=20))
def test_every_service_has_a_cluster_of_its_own(services: set[str]) -> None:
    assert len({names.cluster(name) for name in services}) == len(services)


@given(st.sets(other_names, max_size=20))
def test_no_two_secrets_share_a_name(secrets: set[str]) -> None:
    made = [make(name) for name in secrets for make in (names.certificate, names.trusted_ca)]

    assert len(set(made)) == len(made)


@given(service_names, other_names)
def test_every_name_is_bounded(service: str, other: str) -> None:
    made = [
        names.cluster(service),
        names.route_configuration(other),
        names.certificate(other),
        names.trusted_ca(other),
    ]

    assert max(map(len, made)) <= 131
    assert all(domain == domain.lower() for domain in names.domains(service, "dc1"))
    assert all(len(domain) <= 128 + len(".service.dc1.consul") for domain in names.domains(service, "dc1"))


ASKED = [
    ("default/user", "default/user"),
    ("default/user:8080", "default/user"),
    ("default/User.Service.Consul:80", "default/user.service.consul"),
    ("edge:on-demand/user:1", "edge:on-demand/user"),
    ("default/[::1]:80", "default/[::1]"),
    ("default/[::1]", "default/[::1]"),
    ("default/", "default/"),
    ("default/a:b", "default/a:b"),
    ("default/a:\n", "default/a:\n"),
]


@pytest.mark.shows("P-084")
@pytest.mark.parametrize(("asked", "meant"), ASKED)
def test_a_virtual_host_is_meant_by_every_spelling_of_its_host(asked: str, meant: str) -> None:
    assert names.virtual_host_of(asked) == meant


@given(other_names, service_names)
def test_what_a_virtual_host_is_called_means_itself(listener: str, service: str) -> None:
    routes = names.on_demand_routes(listener)
    assert routes != names.route_configuration(listener)
    for domain in names.domains(service, "dc1"):
        name = names.virtual_host(routes, domain)
        assert names.virtual_host_of(name) == names.virtual_host_of(f"{name}:80") == name
