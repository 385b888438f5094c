"""A user's own client of the package ``etcd3``, in place of ours.

etcd3 0.12.0 is its last release, of 2020, and cannot be imported beside a current protobuf. So
import it from here::

    from rdzv_client import etcd3_adapter

    etcd3 = etcd3_adapter.import_etcd3()
    client = etcd3.client("etcd.example", 2379, grpc_options=etcd3_adapter.GRPC_OPTIONS)
    store = EtcdStore(client, "/my/store")
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from rdzv_client import etcdv3

# By default gRPC waits longer and longer, up to two minutes, before it looks for a server again,
# and takes no answer of more than 4 MiB.
GRPC_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),  # as our own client
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2000),  # in truth how long an attempt to connect may take
    ("grpc.max_reconnect_backoff_ms", 2000),
)

_STUBS: Final = "etcd3.etcdrpc"
_FILES: Final = ("kv", "auth", "rpc")  # each uses those before it


def adapt(client: Any) -> etcdv3.Client:
    """Return a client that this package can use: the given one, or one that stands on it.

    What it does goes over the given client's connection, and whoever made that one closes it.
    Watches are resumed after a disconnection; errors are those of :mod:`rdzv_client.etcdv3`.

    Raises:
        TypeError: it is neither ours nor one of ``etcd3``.
    """
    if isinstance(client, etcdv3.Client):
        return client
    if any(base.__module__.partition(".")[0] == "etcd3" for base in type(client).__mro__):
        from rdzv_client.etcd3_transport import Etcd3Transport  # noqa: PLC0415 - needs grpc

        return etcdv3.Client.over(Etcd3Transport(client))
    raise TypeError(
        f"expected an rdzv_client.etcdv3.Client or a client of etcd3, not {type(client).__name__}"
    )


def import_etcd3() -> ModuleType:
    """Import ``etcd3`` beside whatever protobuf is installed.

    protobuf 4 and newer refuse the code that etcd3 brings for its messages; the same messages are
    built anew from the descriptions inside that code. Once this was called, a plain ``import
    etcd3`` works everywhere in the process.

    Raises:
        ImportError: it is not installed, or not as it was in 2020.
    """
    if "etcd3" not in sys.modules:
        spec = importlib.util.find_spec("etcd3")
        if spec is None or not spec.submodule_search_locations:
            raise ImportError("etcd3 is not installed: pip install 'elasticjob[etcd3]'")
        _build_stubs(Path(spec.submodule_search_locations[0]) / "etcdrpc")
    return importlib.import_module("etcd3")


def _build_stubs(folder: Path) -> None:
    from google.protobuf import descriptor_pool  # noqa: PLC0415
    from google.protobuf.internal import builder  # noqa: PLC0415

    for name in _FILES:
        module = ModuleType(f"{_STUBS}.{name}_pb2")
        source = (folder / f"{name}_pb2.py").read_text()
        described = descriptor_pool.Default().AddSerializedFile(_description(source))
        builder.BuildMessageAndEnumDescriptors(described, vars(module))
        builder.BuildTopDescriptorsAndMessages(described, module.__name__, vars(module))
        sys.modules[module.__name__] = module


def _description(source: str) -> bytes:
    """The serialized description in generated code: ``serialized_pb=_b('...')``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg == "serialized_pb":
            literals = [each for each in ast.walk(node.value) if isinstance(each, ast.Constant)]
            if len(literals) == 1 and isinstance(literals[0].value, str):
                return literals[0].value.encode("latin-1")
    raise ImportError("this etcd3 is not the one of 2020 (0.12.0): its messages are not found")
