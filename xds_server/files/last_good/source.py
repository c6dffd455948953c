"""Whose catalog it is: what is kept of one source says nothing of another."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceId:
    """A source by `kind`: `consul` with its datacenter, namespace and partition, or `file` with its path.

    The datacenter is empty where the agent's own is read and has not been told yet.
    """

    kind: str
    datacenter: str = ""
    namespace: str = ""
    partition: str = ""
    file: str = ""

    def __str__(self) -> str:
        return " ".join(
            part for part in (self.kind, self.datacenter, self.namespace, self.partition, self.file) if part
        )

    def may_be(self, other: "SourceId") -> bool:
        """Tell whether nothing speaks against these being the same: a datacenter is compared where known."""
        names = [field.name for field in fields(self) if field.name != "datacenter"]
        return all(getattr(self, name) == getattr(other, name) for name in names) and (
            self.datacenter == other.datacenter or not (self.datacenter and other.datacenter)
        )
