"""The docker engine: the one that answers, or one of our own that keeps everything in one directory."""
# ruff: noqa: S603, S607 - it runs docker and compose, as found on PATH

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from running import TestFailedError, say, wait_for


def engine_answers(env: Mapping[str, str]) -> bool:
    """Tell whether a docker engine answers there."""
    command = ("docker", "info", "--format", "{{.ServerVersion}}")
    return subprocess.run(command, check=False, capture_output=True, timeout=20, env=env).returncode == 0


@contextlib.contextmanager
def engine(work: Path) -> Iterator[dict[str, str]]:
    """Give the variables with which docker reaches an engine: the one that answers, or one of our own.

    Ours touches nothing outside `work`: no firewall rules, no bridge of its own, no forwarding. The networks
    of compose work without, and what is built needs no network.
    """
    env = dict(os.environ)
    for tool in ("docker", "docker-compose" if not has_compose_plugin() else "docker"):
        if shutil.which(tool) is None:
            raise TestFailedError(
                f"`{tool}` is not installed: install docker.io and docker-compose, and run this again."
            )
    if engine_answers(env):
        say("using the docker engine that answers")
        yield env
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        raise TestFailedError(
            "No docker engine answers: start one, or run this as root with `dockerd` installed."
        )
    env["DOCKER_HOST"] = f"unix://{work}/docker.sock"
    env.pop("DOCKER_CONTEXT", None)
    for driver in ("overlay2", "vfs"):
        daemon = start_engine(work, driver)
        try:
            if came_up(daemon, env):
                say(f"started a docker engine of its own ({driver})")
                yield env
                return
        finally:
            stop_engine(daemon)
    tail = "\n".join((work / "dockerd.log").read_text().splitlines()[-10:])
    raise TestFailedError(f"dockerd does not start here; its last lines were:\n{tail}")


def start_engine(work: Path, driver: str) -> subprocess.Popen[bytes]:
    """Start dockerd with all it keeps in `work`."""
    command = ["dockerd", "--host", f"unix://{work}/docker.sock", "--pidfile", f"{work}/dockerd.pid"]
    command += [
        "--data-root",
        f"{work}/data-{driver}",
        "--exec-root",
        f"{work}/exec",
        "--storage-driver",
        driver,
    ]
    command += ["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--bridge=none"]
    with (work / "dockerd.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def came_up(daemon: subprocess.Popen[bytes], env: Mapping[str, str]) -> bool:
    """Wait until the engine answers, or has given up."""
    with contextlib.suppress(TestFailedError):
        wait_for("an engine", 30, lambda: daemon.poll() is not None or engine_answers(env))
    return daemon.poll() is None and engine_answers(env)


def stop_engine(daemon: subprocess.Popen[bytes]) -> None:
    """End dockerd and with it its containerd."""
    daemon.terminate()
    try:
        daemon.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait()


def has_compose_plugin() -> bool:
    """Tell whether `docker compose` (v2) is there."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(("docker", "compose", "version"), check=False, capture_output=True).returncode == 0
