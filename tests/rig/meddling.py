"""Resources that clients reject, served past everything that would keep them from being made or sent."""

import sys
from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster

from xds_server.model.steps import Steps
from xds_server.model.types import TypeUrl
from xds_server.runtime import line as line_module
from xds_server.runtime.pipeline import Pipeline
from xds_server.snapshot.check.resource import Checked
from xds_server.translate import Translation
from xds_server.translate.packing import Draft, draft


class Meddling(line_module.Translator):
    """Adds resources by hand, in place of those of the same name."""

    added: ClassVar[tuple[Draft, ...]] = ()

    def translating(self, *inputs: Any) -> Steps[Translation]:
        translation = yield from super().translating(*inputs)
        drafts = dict(translation.drafts)
        for one in type(self).added:
            drafts[one.type] = drafts[one.type].changed({one.name: one})
        return replace(translation, drafts=MappingProxyType(drafts))


def meddling(monkeypatch: pytest.MonkeyPatch, served: Pipeline) -> Callable[..., None]:
    """Give what adds resources to what a pipeline serves from its next change on."""
    monkeypatch.setattr(Meddling, "added", ())
    monkeypatch.setattr(
        sys.modules["xds_server.snapshot.build"], "check", lambda made, *_: Checked(draft=made)
    )
    for line in served._lines.values():
        line.translator.__class__ = Meddling
    monkeypatch.setattr(line_module, "Translator", Meddling)

    def add(*drafts: Draft) -> None:
        monkeypatch.setattr(Meddling, "added", drafts)

    return add


def unloadable(name: str) -> Draft:
    """Give a cluster that passes Envoy's field rules, but says not where to ask for its endpoints."""
    return draft(TypeUrl.CLUSTER, name, Cluster(name=name, type=Cluster.EDS))


def without_metadata(config: dict[str, Any]) -> None:
    """Let Envoys not tell their admin ports, by which they would be of two groups."""
    del config["node"]["metadata"]
