"""A real Envoy, and some programs that are none, asked about resources."""

import os
import signal
import time
from contextlib import suppress

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import DirectResponseAction, Route, RouteMatch, VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration

from tests.rig.story import GOLDEN, client, run_story, stories
from xds_server.demo.binaries import find_envoy
from xds_server.model.proxy import Client
from xds_server.model.types import TypeUrl
from xds_server.preflight import EnvoyCheck
from xds_server.runtime.vetting import VETTED, CannotTellError
from xds_server.snapshot import Resource
from xds_server.translate.packing import draft


def cluster(name, table_size):
    made = Cluster(name=name, type=Cluster.EDS, lb_policy=Cluster.MAGLEV)
    made.eds_cluster_config.eds_config.ads.SetInParent()
    made.maglev_lb_config.table_size.value = table_size
    return Resource.of(draft(TypeUrl.CLUSTER, name, made))


def virtual_host(name, regex):
    match = RouteMatch()
    match.safe_regex.regex = regex
    route = Route(match=match, direct_response=DirectResponseAction(status=200))
    return VirtualHost(name=name, domains=["a.example.com"], routes=[route])


def routes(name, regex):
    made = RouteConfiguration(name=name, virtual_hosts=[virtual_host("v", regex)])
    return Resource.of(draft(TypeUrl.ROUTES, name, made))


def listener(port):
    made = Listener(name="edge")
    made.address.socket_address.address = "127.0.0.1"
    made.address.socket_address.port_value = port
    made.filter_chains.add()
    return Resource.of(draft(TypeUrl.LISTENER, "edge", made))


BAD = {
    "a table size that is not prime": (cluster("user", 4), "must be prime"),
    "a regular expression that is none": (routes("edge", "(("), "missing )"),
    "the same in a virtual host": (
        Resource.of(
            draft(TypeUrl.VIRTUAL_HOST, "edge/a.example.com", virtual_host("edge/a.example.com", "(("))
        ),
        "missing )",
    ),
    "a port that is none": (listener(70000), "70000"),
}


@pytest.mark.parametrize("case", BAD)
async def test_envoy_says_what_it_has_against_a_resource(case):
    resource, words = BAD[case]

    said = await EnvoyCheck(find_envoy())([cluster("good", 65537), resource])

    assert words in said
    assert "bootstrap.pb" not in said
    assert "\n" not in said


async def test_envoy_has_nothing_against_any_golden_story(tmp_path):
    check = EnvoyCheck(find_envoy())
    for story in stories():
        if client(GOLDEN / story) is Client.ENVOY:
            snapshot = run_story(GOLDEN / story, tmp_path).snapshot
            assert await check([one for kind in VETTED for one in snapshot.sets[kind].by_name.values()]) == ""


async def test_two_virtual_hosts_of_one_domain_are_of_two_listeners():
    hosts = [virtual_host(f"{name}/a.example.com", ".*") for name in ("edge", "inner")]

    said = await EnvoyCheck(find_envoy())(
        [Resource.of(draft(TypeUrl.VIRTUAL_HOST, one.name, one)) for one in hosts]
    )

    assert said == ""


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "there is no Envoy"),
        ("kill -STOP $$", "gave no answer within 2.0 s"),
        ("exec 1>&- 2>&-; sleep 60", "gave no answer within 2.0 s"),
        ("kill -SEGV $$", "was ended by signal 11"),
    ],
    ids=["missing", "stopped", "hanging", "crashing"],
)
async def test_a_binary_that_gives_no_answer_is_told_of_and_gone(tmp_path, script, words):
    binary = tmp_path / "envoy"
    if script is not None:
        binary.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\n{script}\n")
        binary.chmod(0o700)
    started = time.monotonic()

    with pytest.raises(CannotTellError, match=words):
        await EnvoyCheck(str(binary))([cluster("user", 65537)])

    assert time.monotonic() - started < 6
    if script is not None:
        with suppress(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGCONT)
            pytest.fail("it is still there")


async def test_a_flood_of_output_is_cut_and_the_environment_is_empty(tmp_path, monkeypatch):
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "a-token")
    binary = tmp_path / "envoy"
    binary.write_text(
        "#!/bin/sh\nenv\ni=0\nwhile [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789; "
        "i=$((i+1)); done\nexit 1\n"
    )
    binary.chmod(0o700)

    said = await EnvoyCheck(str(binary))([cluster("user", 65537)])

    assert "a-token" not in said
    assert len(said) == 500


async def test_nothing_is_left_on_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    await EnvoyCheck(find_envoy())([cluster("user", 65537)])

    assert not any(tmp_path.iterdir())
