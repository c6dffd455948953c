"""Brings the compose demo up for real, sends traffic, kills an instance, and takes it all down again.

Run it as often as you like: `scripts/compose-test`. It uses the docker engine that answers, or starts one of
its own (as root) with everything it keeps in a temporary directory. Base images that cannot be pulled are
made by scripts/stand-in-images. Nothing is left behind, however it ends.
"""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from checks import check_ejection, check_kill, check_traffic
from engine import engine, has_compose_plugin
from project import PORTS, Demo, copy_context, free_ports
from running import TestFailedError, run, say, wait_for

CONTAINERS = ("consul", "xds-server", "envoy", "user-1", "user-2", "order-1", "order-2")
UP_SECONDS = 180.0


def bring_up(demo: Demo) -> None:
    """Build, start, and wait until every container says that it is healthy."""
    demo.compose("config", "-q")
    demo.compose("build", timeout=600)
    say("the image is built")
    demo.compose("up", "-d", timeout=UP_SECONDS)
    for service in CONTAINERS:
        wait_for(f"{service} being healthy", UP_SECONDS, lambda: demo.health(service) == "healthy", every=0.5)  # noqa: B023
    say("every container is healthy")
    user = run("docker", "exec", demo.container("xds-server"), "id", "-u", timeout=20, env=demo.env).strip()
    if user == "0":
        raise TestFailedError("xds-server runs as root in its container.")


def play(work: Path, env: dict[str, str]) -> None:
    """Run the whole story with an engine that answers."""
    made = run("scripts/stand-in-images", timeout=1500, env=env).split()
    say(f"stand-in images: {', '.join(made) or 'none needed'}")
    python_image = run("sed", "-n", "s/^ARG PYTHON_IMAGE=//p", "deploy/Dockerfile", timeout=10).strip()
    env |= {name: str(port) for name, port in zip(PORTS, free_ports(len(PORTS)), strict=True)}
    env |= {
        "COMPOSE_PROJECT_NAME": f"xdstest{os.getpid()}",
        "XDS_SERVER_IMAGE": f"xds-server:test{os.getpid()}",
    }
    command = ("docker", "compose") if has_compose_plugin() else ("docker-compose",)
    demo = Demo(env=env, directory=copy_context(work, env, python_image), command=command)
    say("the wheels for the image are there")
    try:
        bring_up(demo)
        check_traffic(demo)
        check_kill(demo)
        check_ejection(demo)
    except TestFailedError:
        with contextlib.suppress(TestFailedError):
            print(demo.compose("ps"), demo.compose("logs", "--tail", "30"), sep="\n")
        raise
    finally:
        demo.compose("down", "-v", "-t", "5", "--remove-orphans", timeout=120)
        for image in (env["XDS_SERVER_IMAGE"], *reversed(made)):
            with contextlib.suppress(TestFailedError):
                run("docker", "image", "rm", image, timeout=60, env=env)
        say("taken down")


def main() -> int:
    """Run the test; 0 if all went as it should."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    work = Path(tempfile.mkdtemp(prefix="xds-compose-"))
    try:
        with engine(work) as env:
            play(work, env)
    except TestFailedError as error:
        print(f"compose-test: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say("compose-test passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
