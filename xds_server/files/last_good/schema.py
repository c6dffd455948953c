"""The messages of `protos/xds_server/last_good/v1/last_good.proto`.

They are made from its compiled descriptor, which `scripts/generate-protos` writes beside this file: Python
code that protoc generates runs only with a protobuf as new as the protoc was.
"""

from pathlib import Path
from typing import Final

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

PACKAGE: Final = "xds_server.last_good.v1"
DESCRIPTORS: Final = Path(__file__).with_name("last_good_v1.binpb")


def _pool() -> DescriptorPool:
    pool = DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


_POOL: Final = _pool()


def descriptor(name: str) -> Descriptor:
    """Give the descriptor of a message of the package. Raises KeyError."""
    return _POOL.FindMessageTypeByName(f"{PACKAGE}.{name}")


def message_class(of: Descriptor) -> type[Message]:
    """Give the class of a message."""
    return GetMessageClass(of)
