"""The compose project under test: what it is built from, its containers, its published ports."""

import contextlib
import http.client
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from running import ROOT, run

# What the image is built from; the test builds from a copy, to which it adds the wheels.
_CONTEXT = (
    "docker-compose.yml",
    ".dockerignore",
    "pyproject.toml",
    "README.md",
    "requirements",
    "deploy",
    "xds_server",
)
PORTS = ("ENVOY_PORT", "ENVOY_ADMIN_PORT", "CONSUL_PORT", "XDS_ADMIN_PORT")


@dataclass
class Demo:
    """The compose project under test."""

    env: dict[str, str]
    directory: Path
    command: tuple[str, ...]

    def compose(self, *arguments: str, timeout: float = 60) -> str:
        """Run a compose command of this project."""
        return run(*self.command, *arguments, timeout=timeout, env=self.env, cwd=self.directory)

    def container(self, service: str) -> str:
        """Give the id of a service's container, also of one that has ended."""
        return (
            self.compose("ps", "-a", "-q", service).strip()
            if "docker" in self.command
            else self.compose("ps", "-q", service).strip()
        )

    def health(self, service: str) -> str:
        """Give docker's word on a container: starting, healthy, unhealthy."""
        return run(
            "docker",
            "inspect",
            "-f",
            "{{.State.Health.Status}}",
            self.container(service),
            timeout=20,
            env=self.env,
        ).strip()

    def get(self, port: str, path: str = "/", host: str = "localhost") -> tuple[int, str]:
        """GET from one of the published ports; status 0 with the error if there is no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", int(self.env[port]), timeout=10)
        try:
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError as error:
            return 0, repr(error)
        finally:
            connection.close()


def copy_context(work: Path, env: Mapping[str, str], python_image: str) -> Path:
    """Copy what the image is built from and lay the wheels beside it; give the copy's path."""
    copy = work / "context"
    copy.mkdir()
    for name in _CONTEXT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = run(
        "docker", "run", "--rm", "--network", "none", python_image, "python", "-c", asked, timeout=60, env=env
    )
    wheels = (
        "-d",
        str(copy / "deploy/wheels"),
        "--only-binary",
        ":all:",
        "--python-version",
        version.strip(),
    )
    pip = (sys.executable, "-m", "pip", "download", "-q")
    for needed in ("runtime", "build"):
        run(*pip, "-r", f"requirements/{needed}.txt", "--require-hashes", *wheels, timeout=600)
    return copy


def free_ports(count: int) -> list[int]:
    """Give ports of 127.0.0.1 nobody listens on."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
