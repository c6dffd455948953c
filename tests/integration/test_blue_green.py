"""Traffic runs while everything behind a route changes at random: no request may notice."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from tests.rig.eventually import eventually

pytestmark = pytest.mark.integration

HOST = "shop.test"
COLOURS = ("blue", "green", "red")
CHANGES = [
    pytest.param(60, id="60 changes"),
    pytest.param(500, id="500 changes", marks=[pytest.mark.slow, pytest.mark.timeout(400)]),
]


@dataclass
class Story:
    """What is asked for at present; each change alters one thing or several of it."""

    chance: random.Random
    targets: dict[str, int] = field(default_factory=lambda: {"blue": 1})
    hidden: list[str] = field(default_factory=list)
    timeouts: dict[str, str] = field(default_factory=dict)
    doubled: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(COLOURS, False))

    def settings(self, world):
        listener = {"name": "shop", "address": f"127.0.0.1:{world.http_port}"}
        listener["routes"] = [{"hosts": [HOST], "split": self.targets}]
        return {
            "default_listener": False,
            "listeners": [listener],
            "hidden_services": ["consul", "xds-server", *self.hidden],
            "services": {name: {"connect_timeout": time} for name, time in self.timeouts.items()},
        }

    def turn(self):
        """Lead the route elsewhere; take some clusters away and bring others, in the same step."""
        targets = self.chance.sample(COLOURS, self.chance.choice((1, 1, 2)))
        self.targets = {name: self.chance.randint(1, 9) for name in targets}
        self.hidden = [n for n in COLOURS if n not in targets and self.chance.random() < 0.7]

    def retune(self):
        """Change a cluster, which has to warm again."""
        self.timeouts[self.chance.choice(COLOURS)] = f"{self.chance.randint(1, 9)}s"


@pytest.mark.shows("P-090", "P-093", "P-094", "P-096", "T-OR-05", "T-OR-08")
@pytest.mark.parametrize("changes", CHANGES)
async def test_random_changes_under_load_cost_no_request(world, changes, record_property):
    story = Story(random.Random(f"{world.mode} {changes}"))  # noqa: S311 - no secret
    upstreams = {name: await world.instance(name) for name in COLOURS}
    seconds = {name: await world.instance(name, f"{name}-2", register=False) for name in COLOURS}
    await world.start(story.settings(world))
    async with world.load(HOST) as load:
        await load.more(50)
        for _ in range(changes):
            await change(world, story, upstreams, seconds)
            await asyncio.sleep(story.chance.choice((0, 0.02, 0.05, 0.15)))
        await eventually(lambda: settled(world, story, load), within=15.0)
        await load.more(100)
    assert not load.failures
    stats = await world.envoy.stats(r"^http\.shop\.(no_route|no_cluster)$")
    # Envoy's counts of the response flags NR and NC; both have to be there to be believed.
    assert list(stats.values()) == [0, 0], stats
    updates = await world.envoy.updates()
    record_property("requests", len(load.answers))
    record_property("updates taken", {name: n for name, n in updates.items() if n > 1})


async def change(world, story, upstreams, seconds):
    """Change something that requests must not notice: some instance of each target always runs."""
    what = story.chance.choices(("turn", "retune", "weight", "second"), (5, 2, 1, 2))[0]
    name = story.chance.choice(COLOURS)
    if what == "weight":
        await world.register(name, upstreams[name], weights=(story.chance.randint(1, 9), 1))
    elif what == "second":
        story.doubled[name] = not story.doubled[name]
        if story.doubled[name]:
            await world.register(name, seconds[name])
        else:
            await world.consul.deregister(seconds[name].name)
    else:
        story.turn() if what == "turn" else story.retune()
        world.server.write_settings(story.settings(world))


async def settled(world, story, load):
    """Tell whether the Envoy has what the story asks for last."""
    clusters = set(await world.envoy.clusters()) - {"xds_cluster"}
    names = {f"{name}{second}" for name in story.targets for second in ("", "-2")}
    bodies = {answer.body for answer in await load.more(40)}
    return clusters == set(COLOURS) - set(story.hidden) and bodies <= names
