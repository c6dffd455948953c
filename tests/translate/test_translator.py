from dataclasses import replace
from typing import Any

import pytest

from tests.rig.catalogs import POLICY, SECRETS, catalog, drafts, instance, service
from xds_server.model.policy import Policy, Protocol, ServicePolicy, UpstreamTls
from xds_server.model.problem import Code
from xds_server.model.proxy import Group
from xds_server.model.secret import Secret, Secrets
from xds_server.model.types import TypeUrl
from xds_server.snapshot import EMPTY, build
from xds_server.translate import Translation, Translator, clusters, endpoints, listeners, routes
from xds_server.translate.render import to_dict, unpack

NO_SECRETS = Secrets()


@pytest.fixture
def translator() -> Translator:
    return Translator(Group())


def codes(translation: Translation) -> set[Code]:
    return {problem.code for problem in translation.problems}


def names(translation: Translation, type_url: TypeUrl) -> list[str]:
    return list(translation.drafts[type_url])


def shown(translation: Translation, type_url: TypeUrl, name: str) -> dict[str, Any]:
    packed = translation.drafts[type_url][name].packed
    return to_dict(unpack(type_url, packed))


def domains(translation: Translation) -> dict[str, list[str]]:
    hosts = shown(translation, TypeUrl.ROUTES, "default")["virtual_hosts"]
    return {host["name"]: host["domains"] for host in hosts}


# --- a change costs what changed -----------------------------------------------------------------------


def test_one_changed_instance_makes_one_new_draft(translator: Translator) -> None:
    user, order = service("user"), service("order")
    before = translator.translate(catalog(user, order), POLICY, SECRETS)
    changed = service("user", instance("user-1", port=8081))

    after = translator.translate(catalog(changed, order), POLICY, SECRETS)

    new = {
        (type_url, name)
        for type_url in TypeUrl
        for name, draft in drafts(after, type_url).items()
        if draft is not drafts(before, type_url).get(name)
    }
    assert new == {(TypeUrl.ENDPOINTS, "user")}


def test_nothing_changed_gives_the_very_same_drafts(translator: Translator) -> None:
    same = catalog(service("user"), service("db"))
    before = translator.translate(same, POLICY, SECRETS)

    # The catalog itself is another object: what counts is that its services are the same.
    after = translator.translate(catalog(*same.services.values()), POLICY, SECRETS)

    assert [id(draft) for type_url in TypeUrl for draft in after.drafts[type_url].values()] == [
        id(draft) for type_url in TypeUrl for draft in before.drafts[type_url].values()
    ]


def test_a_rotated_certificate_makes_one_new_secret_and_nothing_else(translator: Translator) -> None:
    same = catalog(service("db"))
    before = translator.translate(same, POLICY, SECRETS)
    new = Secret(name="edge", certificate_chain=b"new", private_key=b"new", trusted_ca=b"ca")

    after = translator.translate(same, POLICY, Secrets(by_name={**SECRETS.by_name, "edge": new}))

    old = {draft.packed for type_url in TypeUrl for draft in before.drafts[type_url].values()}
    changed = [
        draft.name
        for type_url in TypeUrl
        for draft in after.drafts[type_url].values()
        if draft.packed not in old
    ]
    assert changed == ["edge"]


def test_a_service_that_comes_back_is_translated_anew(translator: Translator) -> None:
    translator.translate(catalog(service("user")), POLICY, SECRETS)
    translator.translate(catalog(), POLICY, SECRETS)

    back = translator.translate(catalog(service("user")), POLICY, SECRETS)

    assert names(back, TypeUrl.CLUSTER) == ["user"]


# --- a bug in one part costs that part, and only until it is mended ------------------------------------


def break_for(monkeypatch: pytest.MonkeyPatch, module: object, function: str, victim: str) -> None:
    """Make a function of `translate` raise for a service or listener of that name."""
    original = getattr(module, function)

    def broken(first: Any, *others: Any) -> Any:
        if getattr(first, "name", first) == victim:
            raise RuntimeError("a bug with hush in its text")
        return original(first, *others)

    monkeypatch.setattr(module, function, broken)


@pytest.mark.shows("P-119", "T-LM-07")
def test_a_bug_in_one_assignment_keeps_the_last_good_one(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = translator.translate(catalog(service("user"), service("order")), POLICY, SECRETS)
    break_for(monkeypatch, endpoints, "assignment", "user")
    moved = [service(name, instance(f"{name}-1", port=9)) for name in ("user", "order")]

    after = translator.translate(catalog(*moved), POLICY, SECRETS)

    assert drafts(after, TypeUrl.ENDPOINTS)["user"] is drafts(before, TypeUrl.ENDPOINTS)["user"]
    assert drafts(after, TypeUrl.ENDPOINTS)["order"] is not drafts(before, TypeUrl.ENDPOINTS)["order"]
    (problem,) = (one for one in after.problems if one.code is Code.TRANSLATION_FAILED)
    assert problem.source == "endpoints user"
    assert "RuntimeError" in problem.sentence
    assert "hush" not in problem.sentence


def test_the_last_good_one_is_kept_for_as_long_as_it_takes(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = translator.translate(catalog(service("user")), POLICY, SECRETS)
    with monkeypatch.context() as broken:
        break_for(broken, endpoints, "assignment", "user")
        for port in (1, 2, 3):
            moved = catalog(service("user", instance(port=port)))
            during = translator.translate(moved, POLICY, SECRETS)

    after = translator.translate(moved, POLICY, SECRETS)

    assert drafts(during, TypeUrl.ENDPOINTS)["user"] is drafts(before, TypeUrl.ENDPOINTS)["user"]
    assert Code.TRANSLATION_FAILED in codes(during)
    assert Code.TRANSLATION_FAILED not in codes(after)
    (group,) = shown(after, TypeUrl.ENDPOINTS, "user")["endpoints"]
    assert group["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["port_value"] == 3


@pytest.mark.parametrize(("module", "function"), [(clusters, "cluster"), (endpoints, "assignment")])
def test_a_bug_in_a_new_service_costs_no_other_service_its_route(
    translator: Translator, monkeypatch: pytest.MonkeyPatch, module: object, function: str
) -> None:
    break_for(monkeypatch, module, function, "user")

    made = translator.translate(catalog(service("user"), service("order")), Policy(), NO_SECRETS)
    snapshot = build(made.drafts, made.problems, EMPTY)

    assert list(snapshot.sets[TypeUrl.CLUSTER].by_name) == ["order"]
    assert list(snapshot.sets[TypeUrl.LISTENER].by_name) == ["default"]
    assert list(domains(made)) == ["service/order", "no-such-service"]
    assert [problem.code for problem in snapshot.problems] == [Code.TRANSLATION_FAILED]


@pytest.mark.parametrize(
    ("module", "function"), [(routes, "route_configuration"), (listeners, "http_listener")]
)
def test_a_bug_in_one_listener_leaves_the_others(
    translator: Translator, monkeypatch: pytest.MonkeyPatch, module: object, function: str
) -> None:
    before = translator.translate(catalog(service("db"), service("web")), POLICY, SECRETS)
    break_for(monkeypatch, module, function, "edge")

    after = translator.translate(catalog(service("db"), service("web"), service("new")), POLICY, SECRETS)

    assert names(after, TypeUrl.LISTENER) == ["db", "default", "edge"]
    assert drafts(after, TypeUrl.ROUTES)["edge"] is drafts(before, TypeUrl.ROUTES)["edge"]
    assert "service/new" in domains(after)
    assert Code.TRANSLATION_FAILED in codes(after)


# --- what the group, the policy and the secrets decide -------------------------------------------------


@pytest.mark.parametrize(("admin_port", "ports"), [(None, [8080, 19000]), (19000, [8080]), (8080, [19000])])
@pytest.mark.shows("P-054")
def test_no_endpoint_has_the_admin_port_of_the_proxy(admin_port: int | None, ports: list[int]) -> None:
    user = service("user", instance("a", port=8080), instance("b", port=19000))

    made = Translator(Group(admin_port=admin_port)).translate(catalog(user), Policy(), NO_SECRETS)

    (group,) = shown(made, TypeUrl.ENDPOINTS, "user")["endpoints"]
    assert [
        one["endpoint"]["address"]["socket_address"]["port_value"] for one in group["lb_endpoints"]
    ] == ports
    assert codes(made) == (set() if admin_port is None else {Code.ENDPOINT_PORT_DENIED})


def test_a_denied_port_of_the_policy_stays_denied_beside_the_admin_port() -> None:
    user = service("user", instance("a", port=8500), instance("b", port=19000))

    made = Translator(Group(admin_port=19000)).translate(catalog(user), POLICY, SECRETS)

    assert "endpoints" not in shown(made, TypeUrl.ENDPOINTS, "user")


def test_a_changed_policy_of_one_service_changes_its_cluster(translator: Translator) -> None:
    same = catalog(service("user"), service("order"))
    before = translator.translate(same, Policy(), NO_SECRETS)
    policy = Policy(services={"user": ServicePolicy(protocol=Protocol.HTTP2)})

    after = translator.translate(same, policy, NO_SECRETS)

    changed = [
        name
        for name, one in drafts(after, TypeUrl.CLUSTER).items()
        if one.packed != drafts(before, TypeUrl.CLUSTER)[name].packed
    ]  # type: ignore[attr-defined]
    assert changed == ["user"]


def test_a_service_without_its_ca_is_left_out_until_the_ca_is_there(translator: Translator) -> None:
    policy = Policy(services={"user": ServicePolicy(tls=UpstreamTls(ca="ca", sans=("user.example.com",)))})
    same = catalog(service("user"), service("order"))

    without = translator.translate(same, policy, NO_SECRETS)
    with_ca = translator.translate(same, policy, SECRETS)

    assert names(without, TypeUrl.CLUSTER) == ["order"]
    assert list(domains(without)) == ["service/order", "no-such-service"]
    assert codes(without) == {Code.SECRET_MISSING}
    assert names(with_ca, TypeUrl.CLUSTER) == ["order", "user"]


# --- who a name belongs to -----------------------------------------------------------------------------


@pytest.mark.parametrize("intruder", ["USER.service.consul", "User.Service.Consul", "user.service.consul"])
def test_a_service_keeps_its_domains_whoever_registers_them_as_a_name(
    translator: Translator, intruder: str
) -> None:
    made = translator.translate(catalog(service("user"), service(intruder)), Policy(), NO_SECRETS)

    assert domains(made)["service/user"] == ["user", "user.service.consul", "user.service.dc1.consul"]
    (problem,) = made.problems
    assert (problem.code, problem.source) == (Code.DOMAIN_TAKEN, f'service "{intruder}"')


@pytest.mark.parametrize("intruder", ["WEB", "Web", "weB"])
def test_a_name_in_capitals_does_not_take_the_place_of_the_name_in_small_letters(
    translator: Translator, intruder: str
) -> None:
    made = translator.translate(catalog(service("web"), service(intruder)), Policy(), NO_SECRETS)

    assert names(made, TypeUrl.CLUSTER) == ["web"]
    (problem,) = made.problems
    assert (problem.code, problem.source) == (Code.SERVICE_NAME_CLASH, f'service "{intruder}"')


def test_a_hidden_twin_takes_no_place(translator: Translator) -> None:
    policy = replace(Policy(), hidden_services=frozenset({"web"}))

    made = translator.translate(catalog(service("Web"), service("web")), policy, NO_SECRETS)

    assert names(made, TypeUrl.CLUSTER) == ["Web"]
    assert made.problems == ()
