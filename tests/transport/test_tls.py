"""The certificate of the server follows its files."""

import asyncio
import ssl

import pytest
import trustme

from tests.rig.eventually import eventually
from tests.runtime.inputs import Inputs, catalog
from tests.transport.serving import serving
from xds_server.transport import TlsFiles

CA = trustme.CA()
OTHER_CA = trustme.CA()


class Files:
    """The files of a server; `issue` replaces them by those of a new certificate."""

    def __init__(self, folder):
        self.cert = folder / "xds.pem"
        self.key = folder / "xds.key"
        self.client_ca = folder / "clients.pem"
        CA.cert_pem.write_to_path(self.client_ca)

    def issue(self):
        made = CA.issue_cert("127.0.0.1")
        made.private_key_pem.write_to_path(self.key)
        self.cert.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))

    def tls(self, *, clients=False):
        return TlsFiles(
            cert_file=str(self.cert),
            key_file=str(self.key),
            client_ca_file=str(self.client_ca) if clients else "",
        )


@pytest.fixture
def files(tmp_path):
    made = Files(tmp_path)
    made.issue()
    return made


async def serial(port, client=None):
    """Give the serial number of the certificate that a new connection is shown."""
    context = ssl.create_default_context()
    CA.configure_trust(context)
    context.set_alpn_protocols(["h2"])
    if client is not None:
        client.configure_cert(context)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        # With TLS 1.3 a server that refuses the client's certificate says so after the handshake.
        assert await reader.read(1)
        return writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
    finally:
        writer.close()


async def test_new_connections_are_shown_the_new_certificate(files):
    async with serving(Inputs(catalog(user=8001)), tls=files.tls()) as server:
        first = await serial(server.port)
        assert await serial(server.port) == first

        files.issue()

        second = await serial(server.port)
        assert second != first
        assert await serial(server.port) == second


async def ruin_certificate(files):
    files.cert.write_text("no certificate")


async def ruin_key(files):
    files.key.write_text("no key")


async def remove_key(files):
    files.key.unlink()


async def another_key(files):
    OTHER_CA.issue_cert("127.0.0.1").private_key_pem.write_to_path(files.key)


@pytest.mark.parametrize("ruin", [ruin_certificate, ruin_key, remove_key, another_key])
async def test_files_that_cannot_be_used_leave_the_old_certificate(files, ruin):
    async with serving(Inputs(catalog(user=8001)), tls=files.tls()) as server:
        first = await serial(server.port)
        await ruin(files)
        assert [await serial(server.port), await serial(server.port)] == [first, first]

        files.issue()

        await eventually(lambda: serial(server.port), first.__ne__)


async def test_clients_must_show_a_certificate_where_a_ca_for_them_is_given(files):
    async with serving(Inputs(catalog(user=8001)), tls=files.tls(clients=True)) as server:
        assert await serial(server.port, CA.issue_cert("client"))
        for client in (None, OTHER_CA.issue_cert("client")):
            with pytest.raises((OSError, AssertionError)):
                await serial(server.port, client)


async def test_files_that_cannot_be_read_at_the_start_are_an_error(files):
    files.key.unlink()
    with pytest.raises(OSError, match=r"xds\.key"):
        async with serving(Inputs(), tls=files.tls()):
            pass
