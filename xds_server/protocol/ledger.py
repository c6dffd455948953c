"""What one client was sent of one type, what it acknowledged, and what it rejected.

`sent` is the newest version of each name that went out (or that a reconnecting client said it has). A
rejected version stays in `sent`, so it is not sent again until the content changes (P-030); `rejected`
remembers that the client does not have it (P-032).
"""

from dataclasses import dataclass, field

from xds_server.snapshot import Resource


@dataclass(slots=True)
class Outstanding:
    """A response that is not acknowledged yet: the versions it carried."""

    version: str
    versions: dict[str, str]


@dataclass(slots=True)
class Ledger:
    """The state of one resource type on one stream."""

    sent: dict[str, str] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    outstanding: dict[str, Outstanding] = field(default_factory=dict)

    def record(self, nonce: str, version: str, resources: dict[str, Resource]) -> None:
        """Note a response before it is handed to the transport, as the ACK may overtake (P-024)."""
        versions = {name: resource.version for name, resource in resources.items()}
        self.sent.update(versions)
        self.outstanding[nonce] = Outstanding(version, versions)

    def acknowledge(self, nonce: str) -> None:
        """Settle a response: the client has what it carried."""
        for name in self.outstanding.pop(nonce).versions:
            self.rejected.pop(name, None)

    def reject(self, nonce: str) -> Outstanding:
        """Settle a response: the client may have part of what it carried, or nothing."""
        response = self.outstanding.pop(nonce)
        # What was dropped, or sent again in another version, since then is not at stake any more.
        self.rejected.update(
            {name: version for name, version in response.versions.items() if self.sent.get(name) == version}
        )
        return response

    def forget(self, name: str) -> None:
        """Note that the client no longer has a resource, or no longer cares."""
        self.sent.pop(name, None)
        self.rejected.pop(name, None)
