"""A JWT auth method in a real Consul, and the tokens that it takes (RFC 7519, RS256)."""

import base64
import json
import time
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.rig.consul_agent import ConsulAgent

ACL = 'acl { enabled = true default_policy = "deny" tokens { master = "root-token" } }'
READ = 'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }'
AUDIENCE, ISSUER, METHOD = "consul", "https://issuer.example.com", "machines"


class Issuer:
    """Signs JWTs with a key of its own."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)

    @property
    def public_key(self) -> str:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()

    def sign(self, **claims: Any) -> str:
        now = int(time.time())
        whole = {"iss": ISSUER, "aud": AUDIENCE, "sub": "xds", "iat": now, "exp": now + 600, **claims}
        signed = b".".join(
            _encoded(json.dumps(one).encode()) for one in ({"alg": "RS256", "typ": "JWT"}, whole)
        )
        signature = self._key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return b".".join((signed, _encoded(signature))).decode()

    async def trusted_by(self, agent: ConsulAgent, *, ttl: str = "1m") -> None:
        """Make the auth method, whose tokens may read the catalog and live for `ttl`."""
        await agent.put("/v1/acl/policy", {"Name": "read", "Rules": READ})
        await agent.put("/v1/acl/role", {"Name": "reader", "Policies": [{"Name": "read"}]})
        config = {
            "JWTValidationPubKeys": [self.public_key],
            "BoundAudiences": [AUDIENCE],
            "BoundIssuer": ISSUER,
            "ClaimMappings": {"sub": "sub"},
        }
        method = {"Name": METHOD, "Type": "jwt", "MaxTokenTTL": ttl, "Config": config}
        await agent.put("/v1/acl/auth-method", method)
        rule = {"AuthMethod": METHOD, "BindType": "role", "BindName": "reader"}
        await agent.put("/v1/acl/binding-rule", rule)


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
