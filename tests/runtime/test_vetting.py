import asyncio
from dataclasses import replace

import pytest

from tests.rig.eventually import eventually
from tests.runtime.inputs import AT_ONCE, LOOPBACK, Inputs, catalog
from xds_server.model.problem import Code
from xds_server.model.proxy import Client, Group, Proxy
from xds_server.model.secret import Secrets
from xds_server.model.types import TypeUrl
from xds_server.runtime.latest import Latest
from xds_server.runtime.pipeline import Pipeline
from xds_server.runtime.vetting import CannotTellError, Preflight
from xds_server.translate import stand_ins

CDS, EDS = TypeUrl.CLUSTER, TypeUrl.ENDPOINTS


class Judge:
    """Refuses resources by name, as soon as it may answer."""

    def __init__(self, *refused):
        self.refused = set(refused)
        self.names_them = True
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.error = None
        self.asked = []

    async def __call__(self, resources):
        self.asked.append([one.name for one in resources])
        await self.may_answer.wait()
        if self.error:
            raise self.error
        bad = sorted(self.refused & {one.name for one in resources if one.type is CDS})
        if not bad:
            return ""
        return f"cluster {bad[0]}: no good" if self.names_them else "no good"


class Vetted(Inputs):
    def __init__(self, judge, mode=Preflight.BLOCK, first=None):
        self.catalog = Latest(first)
        self.policy = Latest(LOOPBACK)
        self.secrets = Latest(Secrets())
        self.pipeline = Pipeline(self.catalog, self.policy, self.secrets, AT_ONCE, (mode, judge))

    async def __aenter__(self):
        self.task = asyncio.create_task(self.pipeline.run())
        await self.pipeline.snapshot.get()
        return self

    async def __aexit__(self, *_):
        self.task.cancel()

    @property
    def now(self):
        return self.pipeline.snapshot.value

    def names(self, type_url):
        return list(self.now.sets[type_url].by_name)

    @property
    def problems(self):
        return [one for one in self.pipeline.problems if one.code is Code.PREFLIGHT_REFUSED]


async def test_the_first_snapshot_waits_and_everything_is_shown():
    judge = Judge()
    async with Vetted(judge, first=catalog(user=8001)) as vetted:
        assert sorted(judge.asked[0]) == ["default", "default", "user"]
        assert vetted.names(CDS) == ["user"]
        assert not vetted.problems


async def test_what_changes_is_served_when_it_has_passed_and_nothing_else_is_asked_about():
    judge = Judge()
    async with Vetted(judge, first=catalog(user=8001)) as vetted:
        judge.asked.clear()
        judge.may_answer.clear()
        vetted.catalog.publish(catalog(user=8001, order=8002))
        await eventually(lambda: judge.asked)
        assert sorted(judge.asked[0]) == ["order"]
        assert vetted.names(CDS) == ["user"]

        judge.may_answer.set()
        await eventually(lambda: vetted.names(CDS) == ["order", "user"])
        assert len(judge.asked) == 1


async def test_endpoints_never_wait_for_the_judge():
    judge = Judge()
    async with Vetted(judge, first=catalog(user=8001)) as vetted:
        judge.may_answer.clear()
        vetted.catalog.publish(catalog(user=8001, order=8002))
        await eventually(lambda: len(judge.asked) == 2)
        old = vetted.now.resource(EDS, "user")

        vetted.catalog.publish(catalog(user=8009, order=8002))

        await eventually(lambda: vetted.now.resource(EDS, "user") is not old)
        assert vetted.names(CDS) == ["user"]
        judge.may_answer.set()
        await eventually(lambda: vetted.names(CDS) == ["order", "user"])


@pytest.mark.parametrize("names_them", [True, False])
async def test_what_is_refused_is_withheld_and_the_rest_goes_on(names_them):
    judge = Judge("order")
    judge.names_them = names_them
    async with Vetted(judge, first=catalog(user=8001)) as vetted:
        services = {f"s{number}": 9000 + number for number in range(8)}
        vetted.catalog.publish(catalog(user=8001, order=8002, **services))

        await eventually(lambda: vetted.problems)
        (problem,) = vetted.problems
        assert problem.source == 'consul service "order"'
        assert "no good version to serve" in problem.sentence
        assert vetted.names(CDS) == sorted(["order", "user", *services])
        made = vetted.now.resource(CDS, "order")
        assert made.references[0].name == stand_ins.WITHHELD + "order"
        assert len(judge.asked) <= 12

        # What stands in for it now is no version of it, however often the rest changes.
        old = vetted.now.resource(EDS, "user")
        vetted.catalog.publish(catalog(user=8009, order=8002, **services))
        await eventually(lambda: vetted.now.resource(EDS, "user") is not old)
        assert vetted.problems == [problem]

        judge.refused.clear()
        vetted.catalog.publish(catalog(user=8001))
        await eventually(lambda: not vetted.problems)


async def test_the_last_good_version_stays_and_a_better_one_follows():
    judge = Judge()
    async with Vetted(judge, first=catalog(user=8001)) as vetted:
        good = vetted.now.resource(CDS, "user")
        judge.refused.add("user")
        vetted.policy.publish(_timeout(9.0))
        await eventually(lambda: vetted.problems)
        assert vetted.now.resource(CDS, "user") is good
        assert "the last good version is served" in vetted.problems[0].sentence

        judge.refused.clear()
        vetted.policy.publish(_timeout(7.0))
        await eventually(lambda: vetted.now.resource(CDS, "user") is not good)
        assert not vetted.problems


async def test_warn_serves_and_tells():
    judge = Judge("order")
    async with Vetted(judge, Preflight.WARN, catalog(user=8001)) as vetted:
        vetted.catalog.publish(catalog(user=8001, order=8002))

        await eventually(lambda: vetted.problems)
        assert vetted.now.resource(EDS, "order") is not None
        assert vetted.names(CDS) == ["order", "user"]
        assert vetted.now.resource(CDS, "order").references[0].name == "order"
        assert "is served all the same" in vetted.problems[0].sentence
        # Another change does not make it forgotten.
        old = vetted.now.resource(EDS, "user")
        vetted.catalog.publish(catalog(user=8009, order=8002))
        await eventually(lambda: vetted.now.resource(EDS, "user") is not old)
        assert vetted.problems


@pytest.mark.parametrize("error", [CannotTellError("it is missing"), ZeroDivisionError("a bug")])
async def test_a_judge_that_cannot_tell_stops_nothing_and_is_left_alone(error, caplog):
    judge = Judge()
    judge.error = error
    async with Vetted(judge, first=catalog(user=8001)) as vetted:
        for number in range(5):
            vetted.catalog.publish(catalog(**{"user": 8001, f"s{number}": 8002}))
            await eventually(lambda number=number: f"s{number}" in vetted.names(CDS))

        assert len(judge.asked) == 1
        assert not vetted.problems
        assert [one.message for one in caplog.records].count("preflight.failed") == 1


async def test_nobody_is_asked_about_grpc_clients():
    judge = Judge()
    async with Vetted(judge, first=catalog(user=8001)) as vetted:
        judge.asked.clear()
        one = Proxy(id="caller", agent="gRPC", group=Group(client=Client.GRPC))
        with vetted.pipeline.join(one):
            await vetted.pipeline.newest(one)
        assert judge.asked == []


def _timeout(seconds):
    return replace(LOOPBACK, defaults=replace(LOOPBACK.defaults, connect_timeout=seconds))
