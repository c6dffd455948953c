"""What was sent stays what it was, whatever is served and wanted: checked against a plain dictionary."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.protocol.resources import SDS, VHDS, host, secret, snapshot
from xds_server.protocol.names import shared
from xds_server.protocol.sent import Sent
from xds_server.protocol.wanted import wanted
from xds_server.snapshot import EMPTY
from xds_server.translate.packing import on_demand

ALL = ("a", "b", "c", "d")

_steps = st.lists(
    st.one_of(
        st.tuples(st.just("serve"), st.dictionaries(st.sampled_from(ALL), st.sampled_from("123"))),
        st.tuples(st.just("want"), st.tuples(st.frozensets(st.sampled_from(ALL)), st.booleans())),
        st.tuples(st.just("send"), st.frozensets(st.sampled_from(ALL))),
        st.tuples(st.just("send all"), st.none()),
        st.tuples(st.just("forget"), st.sampled_from(ALL)),
    ),
    max_size=25,
)


def served(content, after):
    """One of the resources is on demand."""
    drafts = [secret(name, word) for name, word in content.items()]
    return snapshot(*(on_demand(one) if one.name == "d" else one for one in drafts), after=after)


def check(sent, model):
    now = sent.wanted
    assert {name: sent.get(name) for name in ALL} == {name: model.get(name, "") for name in ALL}
    assert sent.exceptions == {
        name: model.get(name, "") for name in ALL if model.get(name, "") != now.version(name)
    }
    assert sent.names == model.keys()
    assert set(sent.gone) == {name for name in model if now.get(name) is None}


@settings(max_examples=150, deadline=None)
@given(_steps)
def test_what_was_sent_stays_what_it_was(steps):
    current, sent, model = EMPTY, Sent(), {}
    sent.subscribed(wanted(current.sets[SDS]))
    for what, how in steps:
        now = sent.wanted
        if what == "serve":
            later = served(how, current)
            sent.offered(later.sets[SDS], later.may_differ(current).get(SDS, frozenset()))
            current = later
        elif what == "want":
            names, wildcard = how
            sent.subscribed(wanted(now.available, shared(names), wildcard=wildcard))
            if not (now.names or now.wildcard):
                assert not model
            # Who unsubscribes lets go, as the machines see to.
            for name in [one for one in model if not (wildcard or one in names)]:
                sent.put(name, "")
                del model[name]
        elif what == "forget":
            sent.put(how, "")
            model.pop(how, None)
        else:
            found = (
                now.all if what == "send all" else {name: now.all[name] for name in how if name in now.all}
            )
            before = sent.take(found)
            assert before == {
                name: model.get(name, "") for name, one in found.items() if model.get(name, "") != one.version
            }
            model |= {name: one.version for name, one in found.items()}
        check(sent, model)


def test_nothing_is_wanted_of_what_is_on_demand_unless_it_is_named():
    resources = snapshot(host("h")).sets[VHDS]

    assert wanted(resources, wildcard=True).get("h") is None
    assert wanted(resources, shared("h"), wildcard=True).get("h") is resources.get("h")
