"""What passes is taken by a real Envoy: one value that it refuses would cost all routes of a listener."""

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.rig.static_bootstrap import ask_envoy, static_bootstrap
from tests.translate.words.registrations import BOTH, instance
from tests.translate.words.test_hostile import services
from xds_server.model.catalog import Catalog, Service
from xds_server.model.policy import Claim, Policy, Registrations
from xds_server.model.proxy import Group
from xds_server.model.secret import Secrets
from xds_server.snapshot import EMPTY, build
from xds_server.translate import Translation, Translator

CHARACTERS = "-._~!$&'()+,;=:@%41"
LONG = ("/" + CHARACTERS * 20)[:64]
EXTREMES = [
    {"xds-route": f"{LONG}*", "xds-strip": "true"},
    {"xds-route": f"x.com{LONG}*", "xds-rewrite": "/$1(a)'&+,;=:@!~/"},
    {"xds-route": "/" + "a" * 255, "xds-rewrite": "/" + "b" * 255},
    {
        "xds-route": "*.example.com/%41/",
        "xds-methods": "GET,HEAD,POST,PUT,DELETE,CONNECT,OPTIONS,TRACE,PATCH",
    },
    {"xds-route": ("a" * 63 + ".") * 3 + "a" * 61},
    {"xds-route": "_a_.b-c", "xds-headers": "a!#$&'*+.^_`|~-=%ENVIRONMENT(HOME)% <>\"\\,!b,c"},
    {"xds-route": "/r", "xds-retries": "10:5xx,cancelled,internal,unavailable,100,599,reset,retriable-4xx"},
    {"xds-route": "/t", "xds-timeout": "1ms", "xds-priority": "-1000000"},
    {"xds-lb-policy": "ring_hash", "xds-hash-on": "header:!#$&'*+.^_`|~-", "xds-connect-timeout": "1ms"},
    {"xds-lb-policy": "maglev", "xds-hash-on": "cookie:a|b", "xds-request-timeout": "1h"},
    {
        "xds-lb-policy": "ring_hash",
        "xds-hash-on": "query:a&b",
        "xds-protocol": "grpc",
        "xds-health": "passing",
    },
    {"xds-subset": "a" * 63, "xds-route": "/s", "xds-canary": "true"},
]
POLICY = Policy(
    registrations=Registrations(claims=(Claim(hosts=("*", "_a_.b-c"), services=("*",)),), dialects=BOTH)
)


def translated(*found: Service) -> Translation:
    return Translator(Group()).translate(Catalog.of("dc1", found), POLICY, Secrets())


def config(translation: Translation) -> str:
    return static_bootstrap(build(translation.drafts, translation.problems, EMPTY, translation.derived))


def test_envoy_takes_the_extremes_of_all_that_passes(tmp_path):
    found = [Service.of(f"s{n}", [instance("i", meta)]) for n, meta in enumerate(EXTREMES)]
    translation = translated(*found)

    answer = ask_envoy(config(translation), tmp_path)

    assert translation.problems == ()
    assert answer.returncode == 0, answer.stderr


@settings(max_examples=3, deadline=None, phases=[Phase.generate])
@given(found=st.lists(services(), min_size=20, max_size=40))
def test_envoy_takes_whatever_passes(tmp_path_factory, found):
    named = [Service.of(f"s{n}", one.instances) for n, one in enumerate(found)]

    translation = translated(*named)

    answer = ask_envoy(config(translation), tmp_path_factory.mktemp("any"))

    assert "translation-failed" not in {problem.code for problem in translation.problems}
    assert answer.returncode == 0, answer.stderr
