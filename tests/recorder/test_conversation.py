"""Each rule on a conversation that keeps it, and on one that breaks it and no other."""

import pytest

from tests.recorder.script import CDS, EDS, LDS, RDS, SDS, Script, cluster, listener, routes
from tests.rig.conversation import Rule
from tests.rig.xds_messages import Item

BLUE = cluster("1", "blue")
WEB = listener("1", "web")


@pytest.fixture(params=["sotw", "delta"])
def script(request):
    return Script(request.param)


def begun(script):
    """A client with one cluster, one listener and routes between them, some time ago."""
    script.ask(CDS).send(CDS, blue=BLUE).ask(EDS, "blue").ack(CDS).give(EDS, blue="1")
    script.ask(LDS).give(LDS, web=WEB).ask(RDS, "web").give(RDS, web=routes("1", "blue"))
    return script.wait(5)


def after_blue(script, **clusters):
    """What a CDS response has to hold beside what is new."""
    return {"blue": BLUE, **clusters} if script.variant == "sotw" else clusters


def without(script, name, **clusters):
    """A CDS response that takes a cluster away."""
    return clusters if script.variant == "sotw" else {"removed": (name,)}


def test_a_client_that_begins(script):
    assert begun(script).broken() == set()


def test_blue_green(script):
    begun(script).send(CDS, **after_blue(script, green=cluster("1", "green")))
    script.ask(EDS, *(("blue",) if script.variant == "sotw" else ()), "green", nonce=script.nonce)
    script.give(EDS, green="1").ack(CDS).give(RDS, web=routes("2", "green"))
    script.give(CDS, **without(script, "blue", green=cluster("1", "green"))).drop(EDS, "blue").wait(5)
    assert script.broken() == set()


def test_a_client_that_comes_back_says_what_it_has():
    script = Script("delta")
    script.ask(CDS, held={"blue": "1"}).ask(EDS, "blue", held={"blue": "1"}).ask(LDS, held={"web": "1"})
    script.ask(RDS, "web", held={"web": "1"}).give(RDS, web=routes("2", "blue")).wait(5)
    assert script.broken() == set()


def test_a_list_that_is_not_known_leaves_routes_alone():
    script = Script("sotw")
    script.ask(CDS, version="7").ask(RDS, "web", version="7").give(RDS, web=routes("2", "blue")).wait(5)
    assert script.broken() == set()


# --- what is sent was asked for -----------------------------------------------------------------------------


def test_a_name_nobody_asked_for(script):
    begun(script).give(EDS, red="1").wait(5)
    assert script.broken() == {Rule.ASKED}


def test_a_type_nobody_asked_for(script):
    script.ask(CDS).give(CDS, blue=cluster("1", "blue")).send(SDS, key="1").ack(SDS)
    assert script.broken() == {Rule.ASKED}


def test_nothing_is_a_wildcard_for_clusters_and_listeners_only(script):
    assert script.ask(EDS).give(EDS, blue="1").broken() == {Rule.ASKED}


def test_what_was_dropped_long_ago(script):
    begun(script).drop(EDS, "blue").wait(5).give(EDS, blue="2")
    assert script.broken() == {Rule.ASKED}


def test_what_was_dropped_a_moment_ago_may_have_crossed(script):
    begun(script).drop(EDS, "blue").give(EDS, blue="2")
    assert script.broken() == set()


def test_the_removal_of_a_name_nobody_asked_for():
    script = begun(Script("delta")).give(EDS, removed=("red",))
    assert script.broken() == {Rule.ASKED, Rule.NEED}


def test_what_is_asked_for_by_an_alias():
    script = begun(Script("delta")).ask(SDS, "web/blue.test")
    script.give(SDS, key=Item(version="1", aliases=("web/blue.test",)))
    assert script.broken() == set()


# --- every response is answered -----------------------------------------------------------------------------


def test_a_response_without_an_answer(script):
    begun(script).send(EDS, blue="2").wait(5)
    assert script.broken() == {Rule.ANSWERED}


def test_the_last_response_may_be_unanswered(script):
    assert begun(script).send(EDS, blue="2").broken() == set()


def test_an_answer_to_a_newer_response_speaks_for_the_older_in_sotw_only(script):
    begun(script).send(EDS, blue="2").send(EDS, blue="3").ack(EDS).wait(5)
    assert script.broken() == ({Rule.ANSWERED} if script.variant == "delta" else set())


# --- endpoints follow their cluster -------------------------------------------------------------------------


def test_a_changed_cluster_without_endpoints(script):
    begun(script).give(CDS, blue=cluster("2", "blue")).wait(5)
    assert script.broken() == {Rule.ENDPOINTS}


def test_endpoints_before_their_cluster(script):
    begun(script).give(EDS, blue="2").give(CDS, blue=cluster("2", "blue")).wait(5)
    assert script.broken() == {Rule.ENDPOINTS}


def test_endpoints_that_are_late(script):
    begun(script).give(CDS, blue=cluster("2", "blue")).wait(5).give(EDS, blue="1")
    assert script.broken() == {Rule.ENDPOINTS}


def test_endpoints_that_follow_at_once(script):
    begun(script).send(CDS, blue=cluster("2", "blue")).give(EDS, blue="1").ack(CDS).wait(5)
    assert script.broken() == set()


def test_endpoints_have_the_time_from_when_they_are_asked_for(script):
    script.ask(CDS).give(CDS, blue=BLUE).wait(5).ask(EDS, "blue").give(EDS, blue="1").wait(5)
    assert script.broken() == set()


# --- routes and clusters ------------------------------------------------------------------------------------


def test_routes_to_a_cluster_that_was_not_sent(script):
    begun(script).give(RDS, web=routes("2", "green")).wait(5)
    assert script.broken() == {Rule.ROUTES}


def test_a_listener_that_leads_to_a_cluster_that_was_not_sent(script):
    begun(script).give(LDS, web=WEB, db=routes("1", "green")).wait(5)
    assert Rule.ROUTES in script.broken()


def test_routes_lead_anywhere_where_clusters_are_fetched_on_demand(script):
    begun(script).send(LDS, web=listener("2", "web", on_demand=True)).give(RDS, web=routes("2", "green"))
    assert script.ack(LDS).wait(5).broken() == set()


def test_a_cluster_that_leaves_before_its_routes(script):
    begun(script).give(CDS, **without(script, "blue")).give(RDS, web=routes("2")).wait(5)
    assert script.broken() == {Rule.REMOVAL}


def test_a_cluster_that_leaves_before_its_routes_are_acknowledged(script):
    begun(script).send(RDS, web=routes("2")).give(CDS, **without(script, "blue")).ack(RDS).wait(5)
    assert script.broken() == {Rule.REMOVAL}


def test_a_cluster_that_leaves_though_the_new_routes_were_rejected(script):
    begun(script).send(RDS, web=routes("2")).ack(RDS, "bad").give(CDS, **without(script, "blue")).wait(5)
    assert script.broken() == {Rule.REMOVAL}


def test_a_cluster_that_leaves_after_the_listener_of_its_routes(script):
    gone = {} if script.variant == "sotw" else {"removed": ("web",)}
    begun(script).give(LDS, **gone).give(CDS, **without(script, "blue")).wait(5)
    assert script.broken() == set()


# --- no response without need -------------------------------------------------------------------------------


@pytest.mark.parametrize("type_url", [CDS, EDS, LDS, RDS])
def test_the_same_again(script, type_url):
    content = {CDS: {"blue": BLUE}, LDS: {"web": WEB}, EDS: {"blue": "1"}, RDS: {"web": routes("1", "blue")}}
    assert begun(script).give(type_url, **content[type_url]).broken() == {Rule.NEED}


def test_the_same_again_for_a_client_that_asks_again():
    script = begun(Script("delta")).ask(EDS, "blue").give(EDS, blue="1").wait(5)
    assert script.broken() == set()
    assert script.give(EDS, blue="1").broken() == {Rule.NEED}


def test_an_unchanged_one_beside_a_changed_one(script):
    begun(script).ask(SDS, "a", "b").give(SDS, a="1", b="1").wait(5).give(SDS, a="2", b="1")
    assert script.broken() == {Rule.NEED}


def test_an_empty_response(script):
    assert begun(script).give(EDS).broken() == {Rule.NEED}


def test_an_empty_response_to_a_client_that_begins(script):
    assert script.ask(CDS).give(CDS).wait(5).broken() == set()


@pytest.mark.parametrize("type_url", [LDS, RDS])
def test_an_empty_response_to_a_client_that_asks_for_what_is_not_there(type_url):
    script = Script("sotw").ask(type_url, "nobody").give(type_url).wait(5)
    assert script.broken() == set()
    assert script.give(type_url).broken() == {Rule.NEED}


def test_a_list_as_it_was_to_a_client_that_asks_for_what_is_not_there():
    script = Script("sotw").ask(LDS, "a").give(LDS, a="1").wait(5)
    script.ask(LDS, "a", "nobody", nonce=script.nonce).give(LDS, a="1").wait(5)
    assert script.broken() == set()
    assert script.give(LDS, a="1").broken() == {Rule.NEED}


def test_a_second_removal():
    script = begun(Script("delta")).give(EDS, removed=("blue",)).wait(5)
    assert script.broken() == set()
    assert script.give(EDS, removed=("blue",)).broken() == {Rule.NEED}


def test_what_left_and_came_back_is_new():
    script = begun(Script("delta")).give(EDS, removed=("blue",)).wait(5).give(EDS, blue="1")
    assert script.broken() == set()


def test_a_heartbeat_says_nothing_new_and_may_come():
    script = begun(Script("delta")).give(EDS, blue=Item(version="1", heartbeat=True))
    assert script.broken() == set()


# --- rejections and nonces ----------------------------------------------------------------------------------


def test_a_rejected_version_again(script):
    begun(script).send(EDS, blue="2").ack(EDS, "bad").give(EDS, blue="3").wait(5).give(EDS, blue="2")
    assert script.broken() == {Rule.REJECTED}


def test_a_rejected_list_again(script):
    new = after_blue(script, green=cluster("1", "green"))
    begun(script).send(CDS, **new).ack(CDS, "bad").wait(5).give(CDS, **new).wait(5)
    assert script.broken() >= {Rule.REJECTED}


def test_a_rejected_version_for_a_client_that_asks(script):
    begun(script).send(EDS, blue="2").ack(EDS, "bad").wait(5).drop(EDS, "blue")
    script.ask(EDS, "blue", nonce=script.nonce).give(EDS, blue="2")
    assert script.broken() == set()


@pytest.mark.parametrize("nonce", ["", "1"])
def test_a_nonce_that_is_none_or_was_before(script, nonce):
    begun(script).send(EDS, nonce=nonce, blue="2")
    assert script.broken() == {Rule.NONCE}
