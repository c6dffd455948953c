"""Policies and tokens of a Consul for tests."""

from dataclasses import dataclass
from typing import Final

from tests.rig.consul_api import ConsulApi
from tests.rig.eventually import eventually

READ: Final = 'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }'
# The accessor of the token that counts where none is given.
ANONYMOUS: Final = "00000000-0000-0000-0000-000000000002"


@dataclass(frozen=True, slots=True)
class Token:
    """`secret` goes with queries, `accessor` names it."""

    accessor: str
    secret: str


async def make_policy(consul: ConsulApi, *, rules: str = READ, policy: str = "") -> str:
    """Make a policy, or change the one with this id; give its id.

    A client agent that has just started takes its servers' ACLs for those of an old version for a moment.
    """
    body = {"Name": "reader", "Rules": rules} | ({"ID": policy} if policy else {})
    path = f"/v1/acl/policy/{policy}".rstrip("/")
    made = await eventually(lambda: consul.put(path, body), within=15, every=0.2)
    return str(made["ID"])


async def make_token(consul: ConsulApi, policy: str) -> Token:
    """Make a token with one policy."""
    made = await consul.put("/v1/acl/token", {"Policies": [{"ID": policy}]})
    return Token(made["AccessorID"], made["SecretID"])
