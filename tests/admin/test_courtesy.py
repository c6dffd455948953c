"""What is costly to show is shown one at a time, with rests in between; the rest at once."""

import asyncio

from aiohttp import web

from tests.runtime.clock import run
from xds_server.admin import courtesy as module
from xds_server.admin.courtesy import courtesy


class Asked:
    def __init__(self, path):
        self.path = path


def answered(*paths, takes=0.1):
    """Give when each of these requests, made all at once, is answered, with its status."""

    async def play():
        loop, wait = asyncio.get_running_loop(), courtesy({"/costly"})

        async def handler(_request):
            await asyncio.sleep(takes)
            return web.Response()

        async def ask(path):
            answer = await wait(Asked(path), handler)
            return path, round(loop.time(), 3), answer.status

        return await asyncio.gather(*(ask(path) for path in paths))

    return run(play())


def test_a_lone_request_is_answered_at_once():
    assert answered("/costly") == [("/costly", 0.1, 200)]


def test_costly_ones_have_a_fifth_of_the_time():
    assert [at for _, at, _ in answered(*["/costly"] * 4)] == [0.1, 0.6, 1.1, 1.6]


def test_all_others_do_not_wait():
    assert [
        at for path, at, _ in answered("/costly", "/healthz", "/costly", "/healthz") if path != "/costly"
    ] == [
        0.1,
        0.1,
    ]


def test_there_is_an_end_to_waiting():
    statuses = [status for _, _, status in answered(*["/costly"] * 150, takes=0.001)]
    assert statuses.count(503) == 150 - module._MOST_WAITING


def test_one_that_leaves_while_it_waits_holds_up_nobody():
    async def play():
        wait = courtesy({"/costly"})

        async def handler(_request):
            await asyncio.sleep(0.1)
            return web.Response()

        asking = [asyncio.create_task(wait(Asked("/costly"), handler)) for _ in range(3)]
        await asyncio.sleep(0.2)
        asking[1].cancel()
        await asyncio.sleep(0.05)
        answer = await asking[2]
        return answer.status, asyncio.get_running_loop().time()

    status, at = run(play())
    assert (status, round(at, 3)) == (200, 0.6)
