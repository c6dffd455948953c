"""Values cross to another process of this program as they are, and nothing else can be made of bytes."""

import os
import pickle
from types import MappingProxyType

import pytest

from tests.files.last_good_states import EVERYTHING
from xds_server.app.workers.coding import CodingError, decode, encode
from xds_server.app.workers.messages import Begin, Heard, Report
from xds_server.model.catalog import Instance, Service
from xds_server.model.policy import DEFAULT_LISTENER, Listener, ListenerKind, Policy
from xds_server.model.secret import Secret, Secrets
from xds_server.runtime import load_report
from xds_server.runtime.load_report import Place
from xds_server.settings import Settings
from xds_server.transport import StreamLimits, XdsServerOptions

HOSTILE = Service.of(
    "user", [Instance(node="\ud800", id="\x00", address="${x}", port=2**70, meta=(("a", "\udfff"),))]
)
LISTENER = Listener(name="edge", address="0.0.0.0", port=443, kind=ListenerKind.TCP)
OPTIONS = XdsServerOptions(host="127.0.0.1", port=1, identifier="x", limits=StreamLimits())
BEGIN = Begin(
    options=OPTIONS,
    pace=Settings().pace,
    preflight=Settings().preflight,
    envoy="envoy",
    log=Settings().log,
    withheld=EVERYTHING.withheld,
    worker=2,
)


@pytest.mark.parametrize(
    "value",
    [
        EVERYTHING.catalog,
        EVERYTHING.withheld,
        Policy(listeners=(DEFAULT_LISTENER, LISTENER), stated=MappingProxyType({"user": frozenset({"tls"})})),
        Secrets(by_name=MappingProxyType({"a": Secret(name="a", private_key=b"key")})),
        HOSTILE,
        BEGIN,
        Report(services=frozenset({"user"}), loads=(Heard("edge", 1.5, Place("user"), load_report.Heard()),)),
        Settings().policy,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_arrives_as_it_was(value):
    assert decode(encode(value)) == value


def test_what_is_one_object_stays_one():
    first, second = decode(encode((HOSTILE, HOSTILE)))

    assert first is second


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(Evil()),
        # A function of this program is none of those that may be called.
        b"cxds_server.telemetry\nlog\n(tR.",
        b"cxds_server.telemetry\nos\n.",
        b"cxds_server.app.workers.coding\npickle.loads\n.",
        b"\x80\x05\x8c\x1bxds_server.app.workers.coding\x8c\x0cpickle.loads\x93.",
        b"",
        b"\x00" * 100,
        encode(BEGIN)[:-5],
    ],
)
def test_other_bytes_are_refused(data):
    with pytest.raises(CodingError):
        decode(data)
