import asyncio
import sys

import grpc
import pytest

from tests.rig.envoy import Envoy, validate
from tests.rig.eventually import eventually
from tests.rig.pem import Authority
from tests.rig.xds_client import XdsStream
from xds_server.model.types import TypeUrl
from xds_server.translate.bootstrap import ChannelTls

pytestmark = pytest.mark.integration

NAME = "xds.test"


@pytest.mark.shows("P-116")
async def test_only_a_client_with_a_certificate_is_served(world):
    authority, stranger = Authority(), Authority("stranger")
    files = certificates(world.directory, authority, stranger)
    await world.instance("user")
    await start_with_tls(world, files)
    pair = {"cert_file": str(files["client.pem"]), "key_file": str(files["client.key"])}
    tls = ChannelTls(ca_file=str(files["ca.pem"]), server_name=NAME, **pair)
    await world.start_envoy(tls=tls)
    assert (await world.get("user")).body == "user"
    for credentials in (identity(files), identity(files, "strange")):
        assert await refused(world, credentials)
    assert not await refused(world, identity(files, "client"))
    # The same by Envoy itself: it stays without configuration.
    bare = ChannelTls(ca_file=str(files["ca.pem"]), server_name=NAME)
    bystander = Envoy(
        world.directory, servers=[world.server.address], mode=world.mode, tls=bare, node="no-certificate"
    )
    world.stack.push_async_callback(bystander.stop)
    await bystander.start(live_within=None)
    await eventually(lambda: bystander.stat("cluster.xds_cluster.upstream_cx_destroy"), lambda n: n > 1)
    assert await bystander.ready() == "PRE_INITIALIZING"
    assert (await world.server.metrics()).total("xds_streams") == 1
    assert not [line for line in world.server.process.output.splitlines() if not line.startswith("{")]


async def test_envoy_refuses_a_server_of_another_name(delta_world):
    world = delta_world
    files = certificates(world.directory, Authority(), Authority("stranger"))
    await start_with_tls(world, files)
    pair = {"cert_file": str(files["client.pem"]), "key_file": str(files["client.key"])}
    tls = ChannelTls(ca_file=str(files["ca.pem"]), server_name="other.test", **pair)
    envoy = Envoy(world.directory, servers=[world.server.address], mode="delta", tls=tls)
    world.stack.push_async_callback(envoy.stop)
    await envoy.start(live_within=None)
    await eventually(lambda: envoy.stat("cluster.xds_cluster.ssl.fail_verify_san"))
    assert await envoy.ready() == "PRE_INITIALIZING"


async def test_the_bootstrap_command_makes_what_envoy_takes(mode, tmp_path):
    authority = Authority()
    files = certificates(tmp_path, authority, authority)
    arguments = ["--id", "edge-1", "--cluster", "edge", "--mode", mode, "--admin-port", "19876"]
    arguments += ["--xds", "127.0.0.1:18000", "--xds", "[::1]:18000", "--tls-server-name", NAME]
    for flag, file in (("ca", "ca.pem"), ("cert", "client.pem"), ("key", "client.key")):
        arguments += [f"--tls-{flag}", str(files[file])]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "xds_server", "bootstrap", *arguments), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    config = tmp_path / "bootstrap.json"
    config.write_bytes(output)
    assert await validate(config) == ""
    config.write_bytes(output.replace(b'"name": "xds_cluster"', b'"name": "xds_closter"', 1))
    assert await validate(config) != ""


async def start_with_tls(world, files):
    tls = {"cert_file": "xds.pem", "key_file": "xds.key", "client_ca_file": "ca.pem"}
    assert files["xds.pem"].parent == world.directory
    await world.start_server({"xds": {"tls": tls}})


def certificates(folder, authority, stranger):
    contents = {"ca.pem": authority.pem}
    for name, issuer, host in (
        ("xds", authority, NAME),
        ("client", authority, "edge"),
        ("strange", stranger, "x"),
    ):
        contents[f"{name}.pem"], contents[f"{name}.key"] = issuer.pair(host)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in contents}


def identity(files, name=""):
    pair = [files[f"{name}.key"].read_bytes(), files[f"{name}.pem"].read_bytes()] if name else [None, None]
    return grpc.ssl_channel_credentials(files["ca.pem"].read_bytes(), *pair)


async def refused(world, credentials):
    options = [("grpc.ssl_target_name_override", NAME)]
    stream = XdsStream(world.server.address, world.mode, credentials=credentials, options=options)
    async with stream:
        try:
            await stream.send(stream.request(type_url=TypeUrl.CLUSTER, node="client"))
            return await stream.receive() is None
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.UNAVAILABLE
