"""The load generator counts what it is sent, keeps the rules of the protocol, and asks as an Envoy asks."""

import collections
import contextlib
import functools
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bench.child import Child
from tests.rig.envoy import Envoy
from tests.rig.eventually import eventually
from tests.rig.ports import free_port
from tests.rig.recorder import Recorder
from tests.rig.xds_messages import Response
from tests.runtime.inputs import LOOPBACK, Inputs, catalog
from tests.transport.serving import serving
from xds_server.model.policy import DEFAULT_LISTENER
from xds_server.model.types import TypeUrl

_ROOT = Path(__file__).parents[2]
_SHORT = {
    TypeUrl.CLUSTER: "cds",
    TypeUrl.ENDPOINTS: "eds",
    TypeUrl.LISTENER: "lds",
    TypeUrl.ROUTES: "rds",
}
_PORTS = {"blue": 10, "green": 11}


@pytest.fixture(scope="module")
def generator():
    """The generator, built from the sources as they are."""
    if shutil.which("go") is None:
        pytest.skip("the load generator is written in Go, and there is no `go` on the PATH")
    source, target = _ROOT / "bench" / "load", _ROOT / ".tools" / "bench"
    modules = subprocess.run(
        ["go", "mod", "download"], check=False, cwd=source, capture_output=True, timeout=60
    )
    if modules.returncode:
        pytest.skip("the Go modules that the load generator needs are not here and cannot be had")
    target.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(["go", "build", "-o", f"{target}/", "./cmd/load"], cwd=source, check=True, timeout=50)
    except subprocess.TimeoutExpired:
        pytest.skip("the load generator takes too long to build for the first time: run `make bench` once")
    return target / "load"


@pytest.fixture
async def inputs():
    """Two services, and a listener on a port that an Envoy can have."""
    found = Inputs(catalog(**_PORTS))
    listener = replace(DEFAULT_LISTENER, address="127.0.0.1", port=free_port())
    found.policy.publish(replace(LOOPBACK, listeners=(listener,)))
    return found


@pytest.fixture
async def recorder():
    async with Recorder() as recorder:
        yield recorder


@contextlib.asynccontextmanager
async def generating(generator, port, variant, streams):
    """The generator, when each of its streams has everything."""
    command = [str(generator), "--target", f"127.0.0.1:{port}", "--variant", variant]
    command += ["--streams", str(streams), "--connections", "1", "--patience", "20"]
    async with Child("load", command) as child:
        ready = await child.event("ready")
        assert (ready["streams"], ready["missing"], len(ready["ready_ms"])) == (streams, 0, streams)
        yield child


def sent(recorder):
    """How many responses and resources of each type went to the generator, as the recorder read them."""
    responses, resources = collections.Counter(), collections.Counter()
    for stream in recorder.streams():
        for event in stream.events:
            if isinstance(event, Response):
                responses[_SHORT[event.type]] += 1
                resources[_SHORT[event.type]] += len(event.items)
    return responses, resources


def told(*counted):
    """The same as the generator counted it, in so many answers."""
    responses, resources = collections.Counter(), collections.Counter()
    for one in counted:
        responses.update(one["responses"])
        resources.update(one["resources"])
    return responses, resources


@pytest.mark.parametrize("variant", ["delta", "sotw"])
async def test_it_counts_what_it_is_sent(generator, inputs, recorder, variant):
    async with serving(inputs) as server:
        _, port = await recorder.tap(("127.0.0.1", server.port))
        async with generating(generator, port, variant, 3) as load:
            first = await load.ask("count", "counted")
            assert first["resources"] == {"cds": 6, "eds": 6, "lds": 3, "rds": 3}

            marking = await load.ask("mark", "marking", type="eds", expect=3)
            inputs.catalog.publish(catalog(**_PORTS | {"blue": 20}))
            marked = await load.event("marked", number=marking["id"])
            assert marked["responses"] == 3
            assert marked["first_at"] <= marked["median_at"] <= marked["last_at"] <= marked["last_ack_at"]
            second = await load.ask("count", "counted")
            assert second["resources"]["eds"] == 3
            assert second["bytes"] == {"cds": 0, "eds": marked["bytes"], "lds": 0, "rds": 0}

            herd = await load.ask("reconnect", "reconnected", quiet_ms=200)
            assert len(herd["ready_ms"]) == 3
            assert variant == "sotw" or herd["resources"] == 0
            # A stream that says nothing is still a stream that hears.
            await load.ask("mark", "marking", type="eds", expect=3)
            inputs.catalog.publish(catalog(**_PORTS | {"blue": 30}))
            await load.event("marked")
            counts = [first, second]

            async def all_counted():
                counts.append(await load.ask("count", "counted"))
                return told(*counts) == sent(recorder)

            await eventually(all_counted)
            settled = await load.ask("settled", "settled", quiet_ms=50)
            assert settled["last_at"] > marked["last_at"]
    assert len(recorder.streams()) == 6
    assert recorder.violations() == []


def said(recorder):
    """What a client said, and what it was told, on each stream: (requests, responses) by type.

    Nonces are left out, as they tell only in which order responses to different types went out.
    """
    found = []
    for stream in recorder.streams():
        by_type = collections.defaultdict(lambda: ([], []))
        for event in stream.events:
            plain = replace(event, order=0, at=0.0, nonce="n" if event.nonce else "")
            if isinstance(event, Response):
                by_type[_SHORT[event.type]][1].append(plain)
            else:
                by_type[_SHORT[event.type]][0].append(replace(plain, names=tuple(sorted(plain.names))))
        found.append(dict(by_type))
    return found


def asked(recorder):
    """How many requests of each type there were on the last stream."""
    return {short: len(requests) for short, (requests, _) in (said(recorder) or [{}])[-1].items()}


# How many requests there are of a client that comes back: only in delta can it say which endpoints it has.
_BACK = {
    "delta": {"cds": 1, "eds": 1, "lds": 1, "rds": 1},
    "sotw": {"cds": 1, "eds": 2, "lds": 1, "rds": 2},
}


@pytest.mark.parametrize("variant", ["delta", "sotw"])
async def test_it_asks_as_an_envoy_asks(generator, inputs, variant, tmp_path):
    moved = _PORTS | {"blue": 20}
    # What there is, and how many requests there are once it is acknowledged.
    steps = (
        (_PORTS, {"cds": 2, "eds": 2, "lds": 2, "rds": 2}),
        (moved, {"cds": 2, "eds": 3, "lds": 2, "rds": 2}),
        (moved | {"red": 12}, {"cds": 3, "eds": 5, "lds": 2, "rds": 2}),
        (moved, {"cds": 4, "eds": 6, "lds": 2, "rds": 2}),
    )
    async with Recorder() as ours, Recorder() as envoys, serving(inputs) as server:
        address = ("127.0.0.1", server.port)
        async with (
            Envoy(tmp_path, servers=[await envoys.tap(address)], mode=variant),
            generating(generator, (await ours.tap(address))[1], variant, 1) as load,
        ):
            for services, requests in steps:
                inputs.catalog.publish(catalog(**services))
                for recorder in (ours, envoys):
                    await eventually(functools.partial(asked, recorder), requests.__eq__)
            await load.ask("reconnect", "reconnected", quiet_ms=100)
            cut_off(envoys)
            for recorder in (ours, envoys):
                await eventually(functools.partial(asked, recorder), _BACK[variant].__eq__)
        for ours_said, envoys_said in zip(said(ours), said(envoys), strict=True):
            for short in _SHORT.values():
                assert ours_said[short] == envoys_said[short]


def cut_off(recorder):
    """Break every connection; the client can come back at once."""
    for tap in recorder._taps.values():
        for task in list(tap._open):
            task.cancel()
