"""TLS material of a Consul agent and its client."""

from pathlib import Path

import trustme

from tests.rig.consul_agent import free_ports

SERVER_NAME = "server.dc1.consul"


class TlsFiles:
    """A CA, a certificate of the agent for `SERVER_NAME` only, and one of the client, as PEM files."""

    def __init__(self, directory: Path) -> None:
        ca = trustme.CA()
        self.directory = directory
        self.port = free_ports(1)[0]
        self.ca_path = directory / "cas"
        self.ca_path.mkdir()
        self.ca = self.ca_path / "ca.pem"
        ca.cert_pem.write_to_path(self.ca)
        self.server = self._issued(ca, SERVER_NAME, "server")
        self.client = self._issued(ca, "xds-server", "client")

    @property
    def hcl(self) -> tuple[str, ...]:
        """Fragments that make an agent serve HTTPS on `port`, to those with a certificate of the CA."""
        cert, key = self.server
        files = f'cert_file = "{cert}" key_file = "{key}" ca_file = "{self.ca}"'
        return (f"ports {{ https = {self.port} }}", f"{files} verify_incoming_https = true")

    def _issued(self, ca: trustme.CA, name: str, file: str) -> tuple[Path, Path]:
        issued = ca.issue_cert(name)
        cert, key = self.directory / f"{file}.pem", self.directory / f"{file}.key"
        issued.private_key_pem.write_to_path(key)
        issued.cert_chain_pems[0].write_to_path(cert)
        return cert, key
