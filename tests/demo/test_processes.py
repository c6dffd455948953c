import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xds_server.demo import processes
from xds_server.demo.processes import ProcessGroup

SLEEP = ("/bin/sleep", "60")


def shell(script):
    return ("/bin/sh", "-c", script)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(fact, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_leaving_ends_every_process(tmp_path):
    async with ProcessGroup(tmp_path) as group:
        children = await asyncio.gather(*(group.start(f"sleeper-{number}", SLEEP) for number in range(4)))
        assert os.getpgrp() not in {os.getpgid(child.pid) for child in children}
    assert not any(alive(child.pid) for child in children)


async def test_one_that_does_not_want_to_end_is_killed_after_the_grace(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "GRACE", 0.2)
    async with ProcessGroup(tmp_path) as group:
        stubborn = await group.start("stubborn", shell("trap '' TERM; echo up; while :; do sleep 1; done"))
        await asyncio.to_thread(wait_until, lambda: "up" in stubborn.tail())
    assert stubborn.returncode == -signal.SIGKILL
    assert not alive(stubborn.pid)


async def test_the_children_of_a_child_end_too(tmp_path):
    async with ProcessGroup(tmp_path) as group:
        parent = await group.start("parent", shell("sleep 60 & echo $!; wait"))
        await asyncio.to_thread(wait_until, parent.tail)
        grandchild = int(parent.tail())
        assert alive(grandchild)
    await asyncio.to_thread(wait_until, lambda: not alive(grandchild))


async def test_a_death_is_told_with_the_end_of_what_was_said(tmp_path):
    async with ProcessGroup(tmp_path) as group:
        await group.start("sleeper", SLEEP)
        death = asyncio.create_task(group.first_death())
        await group.start("culprit", shell("for i in $(seq 100); do echo line $i; done; exit 3"))
        dead = await asyncio.wait_for(death, 5)
    assert (dead.name, dead.returncode) == ("culprit", 3)
    assert dead.tail().splitlines()[-1] == "line 100"
    assert len(dead.tail().splitlines()) < 20


async def test_one_that_may_end_is_only_told_when_it_ends_badly(tmp_path):
    async with ProcessGroup(tmp_path) as group:
        good = await group.start(
            "good", shell("echo data; echo talk >&2"), output=tmp_path / "data", may_end=True
        )
        await good.ended
        death = asyncio.create_task(group.first_death())
        await asyncio.sleep(0)
        assert not death.done()
        await group.start("bad", shell("exit 1"), may_end=True)
        assert (await asyncio.wait_for(death, 5)).name == "bad"
    assert (tmp_path / "data").read_text() == "data\n"
    assert good.tail() == "talk"


async def test_a_program_that_cannot_be_run_says_so(tmp_path):
    async with ProcessGroup(tmp_path) as group:
        missing = await group.start("missing", ("/nowhere/program",))
        assert await missing.ended == 127
    assert missing.tail() == "/nowhere/program cannot be run: No such file or directory."


_PARENT = """
import asyncio, pathlib, sys
from xds_server.demo.processes import ProcessGroup
async def main():
    group = ProcessGroup(pathlib.Path(sys.argv[1]))
    # It would outlive anything but a kill.
    children = [await group.start(name, ("/bin/sh", "-c", "trap '' TERM HUP INT; sleep 60")) for name in "ab"]
    print(*(child.pid for child in children), flush=True)
    await group.first_death()
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the leash is the Linux kernel's")
def test_kill_9_of_the_parent_leaves_nothing(tmp_path):
    with subprocess.Popen([sys.executable, "-c", _PARENT, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        wait_until(lambda: all(is_shell(pid) for pid in pids))
        parent.kill()
        parent.wait()
    wait_until(lambda: not any(alive(pid) for pid in pids))


def is_shell(pid):
    return Path(f"/proc/{pid}/cmdline").read_text().startswith("/bin/sh")
