"""Whatever raises wherever: the process lives, the last good state is served, and it recovers (P37)."""

import inspect
import random
from typing import Any

import aiohttp
import pytest

from tests.process import whole as whole_module
from tests.process.follower import Follower
from tests.process.whole import Whole, whole
from tests.rig.eventually import eventually
from tests.runtime.inputs import catalog
from xds_server.admin import http as admin
from xds_server.admin.state import Sources
from xds_server.files.secrets import SecretsSource
from xds_server.protocol.machine import Machine
from xds_server.protocol.subscription import Subscription
from xds_server.runtime import line, pipeline
from xds_server.runtime.building import Builder
from xds_server.runtime.fleet import Fleet
from xds_server.runtime.guarding import Guarding
from xds_server.runtime.history import History
from xds_server.runtime.interest import Interest
from xds_server.runtime.kind import Kind
from xds_server.runtime.lag import LoopLag
from xds_server.runtime.latest import Latest
from xds_server.runtime.truth import TruthMonitor
from xds_server.runtime.view import View
from xds_server.translate import Translator
from xds_server.transport.conversation import Conversation
from xds_server.transport.reception import Reception
from xds_server.transport.stream import Stream

HOOKS: tuple[tuple[Any, str], ...] = (
    (whole_module, "take"),
    (Guarding, "_weigh"),
    (Translator, "translating"),
    (line, "building"),
    (pipeline, "_report"),
    (line.Line, "publish"),
    (pipeline.Pipeline, "_build_all"),
    (Builder, "build"),
    (History, "note"),
    (Kind, "publish"),
    (Kind, "accept"),
    (Kind, "refresh"),
    (Kind, "view"),
    (View, "settle"),
    (View, "refresh"),
    (View, "hand_over"),
    (SecretsSource, "_read"),
    (Reception, "_caller"),
    (Conversation, "_next"),
    (Conversation, "_settle"),
    (Machine, "offer"),
    (Machine, "receive"),
    (Subscription, "replace"),
    (Interest, "move"),
    (Fleet, "enter"),
    (Fleet, "heard"),
    (Stream, "read"),
    (Conversation, "_what_is_due"),
    (Latest, "publish"),
    (Sources, "view"),
    (admin, "generate_latest"),
    (LoopLag, "_take"),
    (TruthMonitor, "look"),
)


class Spoiler:
    """Lets the next call of a hook raise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.armed: str | None = None
        self.raised: dict[str, int] = {}
        for owner, name in HOOKS:
            monkeypatch.setattr(owner, name, self._spoiled(owner, name))

    def _spoiled(self, owner: Any, name: str) -> Any:
        real, key = vars(owner)[name], f"{owner.__name__}.{name}"
        self.raised[key] = 0

        def perhaps() -> None:
            if self.armed == key:
                self.armed = None
                self.raised[key] += 1
                raise RuntimeError(f"injected into {key}")

        def spoiled(*given: Any, **named: Any) -> Any:
            perhaps()
            return real(*given, **named)

        async def spoiled_later(*given: Any, **named: Any) -> Any:
            perhaps()
            return await real(*given, **named)

        return spoiled_later if inspect.iscoroutinefunction(real) else spoiled


async def look(server: Whole, session: aiohttp.ClientSession) -> None:
    """Ask for every page; one that fails says so."""
    for path in ("/metrics", "/state", "/problems"):
        async with session.get(f"http://127.0.0.1:{server.admin_port}{path}") as answer:
            assert answer.status in {200, 500, 503}


@pytest.mark.parametrize(
    "injections", [60, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(300)])]
)
async def test_p37_whatever_raises_the_last_good_state_is_served(monkeypatch, injections, record_property):
    chosen = random.Random(7)  # noqa: S311 - the same ones each time
    spoiler = Spoiler(monkeypatch)
    hooks = tuple(spoiler.raised)
    async with whole(monkeypatch, catalog(user=8000)) as server, aiohttp.ClientSession() as session:
        delta, sotw = Follower(server.port, "delta", "user"), Follower(server.port, "sotw", "user")
        async with delta, sotw:
            for one in (delta, sotw):
                await eventually(lambda one=one: one.ports == {8000})
            for number in range(injections):
                port = 8001 + number
                server.feed.publish(catalog(user=port))
                spoiler.armed = hooks[number] if number < len(hooks) else chosen.choice(hooks)
                await look(server, session)
                for one in (delta, sotw):
                    await eventually(lambda one=one, port=port: one.ports == {port}, within=15.0)
                assert (delta.lost, sotw.lost) == (0, 0)
        spoiler.armed = None
        async with session.get(f"http://127.0.0.1:{server.admin_port}/readyz") as answer:
            assert answer.status == 200
    record_property("injected", sum(spoiler.raised.values()))
    record_property("streams", delta.streams + sotw.streams)
    record_property("hooks", len(hooks))
    assert sum(spoiler.raised.values()) > 0.7 * injections
