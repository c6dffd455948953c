"""A listener of Envoy's that terminates TLS, and the certificates it is given."""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509

from tests.rig.eventually import eventually
from tests.rig.pem import Authority
from tests.rig.ports import free_port
from tests.rig.world import World

HOST = "shop.test"


@dataclass(frozen=True, slots=True)
class Edge:
    """The listener, and the CA that clients trust."""

    world: World
    authority: Authority
    port: int

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://127.0.0.1:{self.port}/"

    @property
    def trust(self) -> ssl.SSLContext:
        """What a client needs to trust it."""
        return trusting(self.authority)

    def rotate(self) -> int:
        """Put a new pair in place; give its serial number."""
        return replace_pair(self.world.directory, self.authority.pair(HOST))

    async def serial(self) -> int:
        """Give the serial number of the certificate it shows to a new connection."""
        return await served_serial(self.port, self.trust)

    async def shows(self, serial: int, *, within: float = 2.0) -> None:
        """Wait until it shows this certificate."""
        await eventually(self.serial, serial.__eq__, within=within)


async def start_edge(world: World) -> Edge:
    """Start the world with one service behind the listener."""
    edge = Edge(world, Authority(), free_port())
    edge.rotate()
    await world.instance("user")
    await world.start(
        {
            "listeners": [
                {
                    "name": "edge",
                    "address": f"127.0.0.1:{edge.port}",
                    "tls": {"certificate": "edge-cert"},
                    "routes": [{"service": "user"}],
                }
            ],
            "secrets": {"edge-cert": {"cert_file": "edge.pem", "key_file": "edge.key"}},
        }
    )
    return edge


def replace_pair(folder: Path, pair: tuple[bytes, bytes]) -> int:
    """Put a pair in place, the certificate first, each as one step; give its serial number."""
    for name, data in zip(("edge.pem", "edge.key"), pair, strict=True):
        replace(folder / name, data)
    return x509.load_pem_x509_certificate(pair[0]).serial_number


def replace(file: Path, data: bytes) -> None:
    """Replace a file as one step."""
    fresh = file.with_name("fresh")
    fresh.write_bytes(data)
    fresh.replace(file)


def trusting(*authorities: Authority) -> ssl.SSLContext:
    """Give what a client needs to trust these CAs, whatever the name."""
    context = ssl.create_default_context(cadata="".join(one.pem.decode() for one in authorities))
    context.check_hostname = False
    return context


def serving(authority: Authority, name: str, folder: Path) -> ssl.SSLContext:
    """Give what a server needs to show a certificate of its own for a name."""
    certificate, key = authority.pair(name)
    (folder / name).write_bytes(certificate + key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / name)
    return context


def showing(context: ssl.SSLContext, authority: Authority, name: str, folder: Path) -> ssl.SSLContext:
    """Let a client show a certificate of its own, too."""
    certificate, key = authority.pair(name)
    (folder / name).write_bytes(certificate + key)
    context.load_cert_chain(folder / name)
    return context


async def served_serial(port: int, trust: ssl.SSLContext) -> int:
    """Give the serial number of the certificate that a port shows."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
    try:
        shown: Any = writer.get_extra_info("ssl_object")
        der = shown.getpeercert(binary_form=True)
    finally:
        writer.close()
        await writer.wait_closed()
    return x509.load_der_x509_certificate(der).serial_number


async def listener_stats(world: World) -> dict[str, int]:
    """Give how often listeners were changed or drained."""
    names = "lds.update_success|listener_added|listener_modified|listener_in_place_updated|draining"
    return await world.envoy.stats(f"^listener_manager.*({names})")
