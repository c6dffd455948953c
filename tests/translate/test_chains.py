"""Discovery chains as clusters, rules and ways, from Chain values as the decoder makes them."""

from dataclasses import replace
from fractions import Fraction

import pytest

from tests.rig.catalogs import catalog, drafts, instance, service
from xds_server.model.chain import Chain, ChainRoute, LoadBalancer, Resolver, Router, Split, Splitter, Target
from xds_server.model.entries import ConfigEntries, Override
from xds_server.model.policy import (
    HashKind,
    HashOn,
    LbPolicy,
    Policy,
    Protocol,
    ServicePolicy,
    UpstreamTls,
)
from xds_server.model.problem import Code
from xds_server.model.proxy import Group
from xds_server.model.route import Branch, HeaderChanges, PathKind, PathMatch, RouteMatch, Treatment
from xds_server.model.secret import Secrets
from xds_server.model.types import TypeUrl
from xds_server.translate import Translator
from xds_server.translate.chains import Reached, meaning_of
from xds_server.translate.meaning import WHOLE, Parts, Pick
from xds_server.translate.places import Places

DOMAIN = "internal.11111111-2222-3333-4444-555555555555.consul"
HERE = Places(own="dc1")
BOTH = Places(own="dc1", others=("dc2",))
CATCH_ALL = RouteMatch(path=PathMatch(kind=PathKind.PREFIX, value="/"))


def target(name, subset="", dc="dc1", **more):
    key = ".".join(part for part in (subset, name, "default", dc) if part)
    whole = f"{key}.{DOMAIN}"
    return Target(id=key, name=whole, sni=whole, service=name, subset=subset, datacenter=dc, **more)


WEB = target("web")
V1 = target("web", "v1", filter="Service.Meta.version == v1")
V2 = target("web", "v2", filter="Service.Meta.version == v2", only_passing=True)
API = target("api")
BACKUP = target("backup")
FAR = target("backup", dc="dc2")


def chain(nodes, start, *targets, service="web"):
    return Chain.of(service, "http", start, nodes, {one.id: one for one in targets})


def leads_to(one, *failover, **more):
    """Give a resolver node by its key."""
    made = Resolver(target=one.id, failover=tuple(other.id for other in failover), **more)
    return {f"resolver:{one.id}": made}


def split(name, *shares):
    splits = tuple(
        share if isinstance(share, Split) else Split(weight=share[0], next=share[1]) for share in shares
    )
    return {f"splitter:{name}": Splitter(splits=splits)}


def key(one):
    return f"resolver:{one.id}"


def meaning(made, places=HERE, **reached):
    known = {one.service: Reached(policy=ServicePolicy()) for one in made.targets.values()}
    known[made.service] = Reached(policy=ServicePolicy())
    return meaning_of(made, {**known, **reached}, places)


def understood(made, places=HERE, **reached):
    """Give the meaning of a chain, all of which can be honoured."""
    found, problems = meaning(made, places, **reached)
    assert problems == ()
    return found


def shares(way):
    total = sum(branch.weight for branch in way)
    return {branch.cluster: Fraction(branch.weight, total) for branch in way}


def sentences(problems):
    assert {problem.code for problem in problems} <= {Code.DISCOVERY_CHAIN}
    return [problem.sentence for problem in problems]


def test_a_resolver_is_a_cluster_with_the_name_that_consul_makes():
    found = understood(chain(leads_to(V2), key(V2), V2))
    (spec,) = found.clusters
    assert spec.name == f"v2.web.default.dc1.{DOMAIN}"
    assert spec.picks == (Pick(service="web", filter="Service.Meta.version == v2", only_passing=True),)
    (rule,) = found.rules
    assert rule.match == RouteMatch()
    assert rule.branches == (Branch(cluster=spec.name),)
    assert rule.source == 'consul discovery chain "web"'


def test_failover_is_one_cluster_that_picks_in_order():
    (spec,) = understood(chain(leads_to(V2, V1, FAR), key(V2), V1, V2, FAR), BOTH).clusters
    assert [(pick.service, pick.filter, pick.datacenter) for pick in spec.picks] == [
        ("web", "Service.Meta.version == v2", "dc1"),
        ("web", "Service.Meta.version == v1", "dc1"),
        ("backup", "", "dc2"),
    ]


def test_without_failover_the_operators_other_datacenters_take_over():
    (spec,) = understood(chain(leads_to(WEB), key(WEB), WEB), BOTH).clusters
    assert spec.picks == (Pick(service="web"),)


def test_a_redirect_leads_to_the_other_service():
    found = understood(chain(leads_to(V2), key(V2), V2, service="old"))
    assert found.ways[WHOLE] == (Branch(cluster=V2.name),)
    assert set(found.ways) == {WHOLE}


def test_a_redirect_to_another_datacenter_means_that_one_alone():
    (spec,) = understood(chain(leads_to(FAR), key(FAR), FAR), BOTH).clusters
    assert spec.picks == (Pick(service="backup", datacenter="dc2"),)


def test_a_datacenter_that_is_not_read_is_passed_over():
    found, problems = meaning(chain(leads_to(WEB, FAR, BACKUP), key(WEB), WEB, FAR, BACKUP))
    assert [pick.service for pick in found.clusters[0].picks] == ["web", "backup"]
    (sentence,) = sentences(problems)
    assert sentence == (
        'it leads to service "backup" in datacenter "dc2", which is not read, so it does not take over: add '
        "the datacenter to the settings, or change the service-resolver"
    )


def test_what_takes_over_is_used_where_the_target_is_not_read():
    found, problems = meaning(chain(leads_to(FAR, BACKUP), key(FAR), FAR, BACKUP))
    assert [pick.datacenter for pick in found.clusters[0].picks] == [""]
    assert len(problems) == 1


@pytest.mark.parametrize(
    "other",
    [
        ServicePolicy(protocol=Protocol.HTTP2),
        ServicePolicy(tls=UpstreamTls(ca="ca", sans=("backup.example.com",))),
    ],
)
def test_what_is_reached_in_another_way_does_not_take_over(other):
    made = chain(leads_to(WEB, BACKUP), key(WEB), WEB, BACKUP)
    found, problems = meaning(made, backup=Reached(policy=other))
    assert [pick.service for pick in found.clusters[0].picks] == ["web"]
    assert "cannot take over" in sentences(problems)[0]


def test_a_service_that_is_not_served_costs_its_own_share_alone():
    made = chain(
        {**split("web", (5000, key(WEB)), (5000, key(API))), **leads_to(WEB, API), **leads_to(API)},
        "splitter:web",
        WEB,
        API,
    )
    secret = UpstreamTls(ca="not-there", sans=("api.example.com",))
    found, problems = meaning(made, api=Reached(policy=ServicePolicy(tls=secret), served=False))
    specs = {spec.name: spec for spec in found.clusters}
    assert specs[API.name].picks == ()
    assert specs[API.name].policy.tls is None
    assert [pick.service for pick in specs[WEB.name].picks] == ["web"]
    assert shares(found.ways[WHOLE]) == {WEB.name: Fraction(1, 2), API.name: Fraction(1, 2)}
    assert len(problems) == 2


# --- the policy of a cluster -------------------------------------------------------------------------


def test_a_resolver_changes_the_policy_field_by_field():
    header = HashOn(kind=HashKind.HEADER, name="x-user")
    balancer = LoadBalancer(policy=LbPolicy.RING_HASH, hash_on=(header,), ring_size=(64, None))
    made = chain(
        leads_to(WEB, request_timeout=7.0, connect_timeout=3.0, load_balancer=balancer), key(WEB), WEB
    )
    base = ServicePolicy(protocol=Protocol.GRPC, choices=3, panic_threshold=40)
    (spec,) = understood(made, web=Reached(policy=base)).clusters
    assert spec.policy == replace(
        base,
        lb_policy=LbPolicy.RING_HASH,
        hash_on=(header,),
        ring_size=(64, None),
        request_timeout=7.0,
        connect_timeout=3.0,
    )


def test_a_targets_own_connect_timeout_counts_first():
    one = replace(WEB, connect_timeout=0.5)
    (spec,) = understood(chain(leads_to(one, connect_timeout=3.0), key(one), one)).clusters
    assert spec.policy.connect_timeout == 0.5


def test_what_the_operator_wrote_for_the_service_stays():
    balancer = LoadBalancer(policy=LbPolicy.MAGLEV, hash_on=(HashOn(kind=HashKind.SOURCE_IP),), choices=5)
    made = chain(
        leads_to(WEB, request_timeout=7.0, connect_timeout=3.0, load_balancer=balancer), key(WEB), WEB
    )
    base = ServicePolicy(lb_policy=LbPolicy.LEAST_REQUEST, request_timeout=1.0)
    stated = frozenset({"lb_policy", "request_timeout"})
    (spec,) = understood(made, web=Reached(policy=base, stated=stated)).clusters
    assert spec.policy == replace(base, connect_timeout=3.0)


# --- splitters ---------------------------------------------------------------------------------------


def test_the_weights_of_a_split_are_those_that_were_written():
    made = chain(
        {**split("web", (9000, key(V1)), (1000, key(V2))), **leads_to(V1), **leads_to(V2)},
        "splitter:web",
        V1,
        V2,
    )
    assert understood(made).ways[WHOLE] == (
        Branch(cluster=V1.name, weight=9000),
        Branch(cluster=V2.name, weight=1000),
    )


def test_splitters_of_splitters_are_multiplied_out_exactly():
    made = chain(
        {
            **split("web", (1, "splitter:api"), (9999, key(BACKUP))),
            **split("api", (1, key(V1)), (3333, key(V2)), (6666, key(BACKUP))),
            **leads_to(V1),
            **leads_to(V2),
            **leads_to(BACKUP),
        },
        "splitter:web",
        V1,
        V2,
        BACKUP,
    )
    way = understood(made).ways[WHOLE]
    assert shares(way) == {
        V1.name: Fraction(1, 10**8),
        V2.name: Fraction(3333, 10**8),
        BACKUP.name: Fraction(9999, 10**4) + Fraction(6666, 10**8),
    }


def test_no_share_vanishes_where_the_numbers_grow_beyond_what_envoy_takes():
    nodes = {**leads_to(V1), **leads_to(V2)}
    for level in range(8):
        following = key(V1) if level == 7 else f"splitter:{level + 1}"
        nodes |= split(str(level), (1, following), (9999, key(V2)))
    way = understood(chain(nodes, "splitter:0", V1, V2)).ways[WHOLE]
    assert {branch.cluster for branch in way} == {V1.name, V2.name}
    assert min(branch.weight for branch in way) >= 1
    assert sum(branch.weight for branch in way) <= 2**32 - 1


def test_a_share_of_nothing_gets_no_branch_but_keeps_its_cluster():
    made = chain(
        {**split("web", (10000, key(V1)), (0, key(V2))), **leads_to(V1), **leads_to(V2)},
        "splitter:web",
        V1,
        V2,
    )
    found = understood(made)
    assert [branch.cluster for branch in found.ways[WHOLE]] == [V1.name]
    assert {spec.name for spec in found.clusters} == {V1.name, V2.name}


def test_header_changes_of_splits_add_up_and_the_inner_one_counts():
    outer = HeaderChanges(add=(("X-A", "outer"), ("x-b", "outer")), remove=("x-gone",))
    inner = HeaderChanges(add=(("x-a", "inner"),), set=(("x-c", "inner"),), remove=("x-gone", "x-away"))
    made = chain(
        {
            **split("web", Split(weight=10000, next="splitter:api", request=outer, response=outer)),
            **split("api", Split(weight=10000, next=key(V1), request=inner)),
            **leads_to(V1),
        },
        "splitter:web",
        V1,
    )
    (branch,) = understood(made).ways[WHOLE]
    assert branch.request == HeaderChanges(
        add=(("x-b", "outer"), ("x-a", "inner")), set=(("x-c", "inner"),), remove=("x-gone", "x-away")
    )
    assert branch.response == outer


def test_splits_that_double_at_every_level_are_bounded():
    nodes = leads_to(V1)
    for level in range(40):
        following = key(V1) if level == 39 else f"splitter:{level + 1}"
        changes = [HeaderChanges(set=((f"x-{level}-{side}", "1"),)) for side in "ab"]
        nodes |= split(
            str(level), *(Split(weight=5000, next=following, request=change) for change in changes)
        )
    found, problems = meaning(chain(nodes, "splitter:0", V1))
    assert len(found.ways[WHOLE]) <= 1000
    assert "more than 1000 ways" in sentences(problems)[0]


# --- routers -----------------------------------------------------------------------------------------


def routed(*routes):
    made = tuple(
        ChainRoute(match=match, treatment=treatment, next=following) for match, treatment, following in routes
    )
    return {"router:web": Router(routes=made)}


def test_routes_keep_their_order_and_the_way_past_the_router_is_its_default():
    api = RouteMatch(path=PathMatch(kind=PathKind.PREFIX, value="/api"), methods=("GET",))
    rewritten = Treatment(prefix_rewrite="/", timeout=3.0)
    made = chain(
        {
            **routed(
                (api, rewritten, key(API)),
                (RouteMatch(path=PathMatch(kind=PathKind.EXACT, value="/x")), Treatment(), "splitter:web"),
                (CATCH_ALL, Treatment(), "splitter:web"),
            ),
            **split("web", (5000, key(V1)), (5000, key(V2))),
            **leads_to(API),
            **leads_to(V1),
            **leads_to(V2),
        },
        "router:web",
        API,
        V1,
        V2,
    )
    found = understood(made)
    assert [rule.match for rule in found.rules] == [api, made.nodes["router:web"].routes[1].match, CATCH_ALL]
    assert found.rules[0].treatment == rewritten
    assert found.rules[0].branches == (Branch(cluster=API.name),)
    assert found.ways[WHOLE] == found.rules[2].branches
    assert shares(found.ways[WHOLE]) == {V1.name: Fraction(1, 2), V2.name: Fraction(1, 2)}


# --- ways --------------------------------------------------------------------------------------------


def test_a_subset_that_has_a_resolver_is_a_way():
    made = chain(
        {
            **split("web", (5000, key(V1)), (2500, key(V2)), (2500, key(API))),
            **leads_to(V1),
            **leads_to(V2),
            **leads_to(API),
        },
        "splitter:web",
        V1,
        V2,
        API,
    )
    found = understood(made)
    assert set(found.ways) == {WHOLE, ("v1", ""), ("v2", "")}
    assert found.ways["v2", ""] == (Branch(cluster=V2.name),)


def test_what_the_service_says_of_itself_stays_beside_its_chain():
    parts = Parts(subsets=(("v2", "x"), ("blue", "blue in Service.Tags")), ports=("metrics",))
    made = chain(leads_to(V2), key(V2), V2)
    found = understood(made, web=Reached(policy=ServicePolicy(), parts=parts))
    assert {part: way[0].cluster for part, way in found.ways.items()} == {
        WHOLE: V2.name,
        ("v2", ""): V2.name,
        ("v2", "metrics"): "web@v2:metrics",
        ("blue", ""): "web@blue",
        ("blue", "metrics"): "web@blue:metrics",
        ("", "metrics"): "web:metrics",
    }
    assert {spec.name for spec in found.clusters} == {way[0].cluster for way in found.ways.values()}


def test_canaries_have_no_share_of_a_target_that_is_the_whole_service():
    parts = Parts(canary="canary in Service.Tags")
    made = chain({**leads_to(WEB), **leads_to(V1)}, key(WEB), WEB, V1)
    picks = {
        spec.name: spec.picks[0].filter
        for spec in understood(made, web=Reached(policy=ServicePolicy(), parts=parts)).clusters
    }
    assert picks == {WEB.name: "not (canary in Service.Tags)", V1.name: V1.filter}


# --- names -------------------------------------------------------------------------------------------


def test_two_readings_of_one_name_are_two_clusters():
    dotted = target("b.c")
    subset = target("c", "b")
    assert dotted.name == subset.name
    names = [
        understood(chain(leads_to(one), key(one), one, service="web")).clusters[0].name
        for one in (dotted, subset)
    ]
    assert names == ["b.c@@dc1", subset.name]


def test_a_name_that_does_not_say_its_service_is_not_used():
    lying = replace(WEB, name=API.name)
    assert understood(chain(leads_to(lying), key(lying), lying)).clusters[0].name == "web@@dc1"


# --- whole translations ------------------------------------------------------------------------------


def translated(chains, *services, policy=None, overrides=()):
    entries = ConfigEntries(chains={one.service: one for one in chains}, defaults=overrides)
    whole = replace(catalog(*services), entries=entries)
    return Translator(Group()).translate(whole, policy or Policy(), Secrets())


def test_a_service_registered_under_the_name_of_a_chains_cluster_does_not_get_its_requests():
    impostor = service(V2.name, instance("bad", "10.6.6.6"))
    translation = translated(
        [chain(leads_to(V2), key(V2), V2)],
        service("web", replace(instance("w"), meta=(("version", "v2"),))),
        impostor,
    )
    endpoints = drafts(translation, TypeUrl.ENDPOINTS)
    assert set(endpoints) == {V2.name}
    assert b"10.6.6.6" not in endpoints[V2.name].packed
    assert [problem.code for problem in translation.problems] == [Code.SERVICE_NAME_CLASH]


def test_a_chain_with_a_service_whose_secret_is_missing_costs_nobody_else():
    made = chain(
        {**split("web", (5000, key(WEB)), (5000, key(API))), **leads_to(WEB), **leads_to(API)},
        "splitter:web",
        WEB,
        API,
    )
    policy = Policy(services={"api": ServicePolicy(tls=UpstreamTls(ca="nope", sans=("x",)))})
    translation = translated([made], service("web"), service("api"), service("user"), policy=policy)
    assert set(drafts(translation, TypeUrl.CLUSTER)) == {WEB.name, API.name, "user"}
    (listener,) = translation.drafts[TypeUrl.ROUTES].values()
    served = set(translation.drafts[TypeUrl.CLUSTER])
    assert {reference.name for reference in listener.references} <= served


def test_a_service_without_instances_has_what_the_config_entries_say():
    made = chain(leads_to(WEB, BACKUP), key(WEB), WEB, BACKUP)
    grpc = Override(field="protocol", value=Protocol.GRPC, source="consul proxy-defaults")
    translation = translated([made], service("web"), overrides=(grpc,))
    assert translation.problems == ()


def test_an_unchanged_chain_gives_the_same_drafts_again():
    translator = Translator(Group())
    entries = ConfigEntries(chains={"web": chain(leads_to(WEB), key(WEB), WEB)})
    whole = replace(catalog(service("web")), entries=entries)
    first = translator.translate(whole, Policy(), Secrets())
    second = translator.translate(
        replace(whole, services={**whole.services, "user": service("user")}), Policy(), Secrets()
    )
    for type_url in (TypeUrl.CLUSTER, TypeUrl.ENDPOINTS):
        assert drafts(first, type_url)[WEB.name] is drafts(second, type_url)[WEB.name]
