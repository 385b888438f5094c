"""Requests and watches over the gRPC channel of an ``etcd3`` client.

gRPC's messages and the gateway's JSON have the same fields, so the requests and answers of
:mod:`rdzv_client.etcdv3` are used as they are, and so are its rules for what is repeated and how a
watch is resumed.
"""

from __future__ import annotations

import json
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import grpc
from google.protobuf import json_format

from rdzv_client import etcd3_adapter
from rdzv_client.etcdv3 import answers, errors, requests
from rdzv_client.etcdv3.endpoints import Endpoint
from rdzv_client.etcdv3.stream import Wakeup
from rdzv_client.etcdv3.transport import Settings

T = TypeVar("T")
Document = dict[str, Any]

_REQUEST_TIMEOUT_S: Final = 5.0
_UNSENT: Final = "failed to connect"
# Codes of a call that ended with its connection, and not by the server's word.
_LOST: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)


class Etcd3Transport:
    """What :class:`rdzv_client.etcdv3.transport.Transport` is to our client, on one of ``etcd3``.

    Args:
        client: The etcd3 client; it stays its owner's, who closes it. Its user, if it has one, is
            known by the token it got when it was made: etcd3 does not renew it.
        request_timeout_s: For a request; None: as the client has it, else 5 s.
    """

    def __init__(self, client: Any, request_timeout_s: float | None = None) -> None:
        rpc = etcd3_adapter.import_etcd3().etcdrpc
        kv, lease, maintenance = client.kvstub, client.leasestub, client.maintenancestub
        self._calls: dict[str, tuple[Callable[..., Any], type]] = {
            "/v3/kv/range": (kv.Range, rpc.RangeRequest),
            "/v3/kv/put": (kv.Put, rpc.PutRequest),
            "/v3/kv/deleterange": (kv.DeleteRange, rpc.DeleteRangeRequest),
            "/v3/kv/txn": (kv.Txn, rpc.TxnRequest),
            "/v3/lease/grant": (lease.LeaseGrant, rpc.LeaseGrantRequest),
            "/v3/lease/keepalive": (_first(lease.LeaseKeepAlive), rpc.LeaseKeepAliveRequest),
            "/v3/lease/revoke": (lease.LeaseRevoke, rpc.LeaseRevokeRequest),
            "/v3/maintenance/status": (maintenance.Status, rpc.StatusRequest),
        }
        self._client, self._rpc = client, rpc
        host, _, port = client._url.rpartition(":")  # noqa: SLF001 - it has no other name
        self._timeout_s: float = request_timeout_s or client.timeout or _REQUEST_TIMEOUT_S
        self.settings = Settings(
            endpoints=(Endpoint(host.strip("[]"), int(port), client.uses_secure_channel),),
            request_timeout_s=self._timeout_s,
        )

    def send(self, request: requests.Request[T], timeout_s: float | None = None) -> T:
        """Have the request carried out; see :meth:`rdzv_client.etcdv3.transport.Transport.send`."""
        call, kind = self._calls[request.path]
        try:
            message = json_format.Parse(request.body, kind())
            answer = call(message, timeout_s or self._timeout_s, metadata=self._client.metadata)
        except grpc.RpcError as error:
            raise self._failure(error, ambiguous=not request.repeatable) from error
        except ValueError as error:  # the channel was closed, or there was no answer
            raise errors.ConnectionFailed([(self._name(), str(error))]) from error
        document = _document(answer)
        return request.parse({"result": document} if "keepalive" in request.path else document)

    def open_stream(self, path: str, index: int, wakeup: Wakeup, heartbeat_s: float) -> WatchStream:  # noqa: ARG002 - there is one endpoint
        """Open a stream of watch messages; beats go as calls, which gRPC keeps short."""
        if path != requests.WATCH_PATH:
            raise OSError(f"no stream to {path} is needed here")
        watch = self._rpc.WatchStub(self._client.channel).Watch
        asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
        try:
            call = watch(iter(asked.get, None), metadata=self._client.metadata)
        except ValueError as error:
            raise OSError(str(error)) from error
        return WatchStream(self, call, asked, self._rpc.WatchRequest, (wakeup, heartbeat_s))

    def preferred(self) -> int:
        """Return the index of the only endpoint."""
        return 0

    def token(self) -> None:
        """Return None: the client has its own, if any."""

    def forget_token(self) -> None:
        """Do nothing: the client does not get another one."""

    def copy(self, request_timeout_s: float) -> Etcd3Transport:
        """Return another one on the same client, with a time-out of its own."""
        return Etcd3Transport(self._client, request_timeout_s)

    def close(self) -> None:
        """Do nothing: the client is its owner's to close."""

    def _failure(self, error: grpc.RpcError, *, ambiguous: bool) -> errors.EtcdError:
        code, words = error.code(), error.details() or ""
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            attempt = (self._name(), "no answer in time")
            return errors.RequestTimedOut([attempt], ambiguous=ambiguous)
        if code in _LOST:
            sent = _UNSENT not in words
            return errors.ConnectionFailed([(self._name(), words)], ambiguous=ambiguous and sent)
        return answers.refusal(code.value[0], words)

    def _name(self) -> str:
        return str(self.settings.endpoints[0])


class WatchStream:
    """An open stream; see :class:`rdzv_client.etcdv3.stream.GatewayStream`.

    The messages of etcd3 know no watch ids of the client's choice, so the server's are translated:
    it answers requests in their order.
    """

    def __init__(
        self,
        transport: Etcd3Transport,
        call: Any,
        asked: queue.SimpleQueue[Any],
        kind: type,
        wakes: tuple[Wakeup, float],
    ) -> None:
        self._transport, self._call, self._asked, self._kind = transport, call, asked, kind
        self._wakeup, self._heartbeat_s = wakes
        self._heard: deque[Document] = deque()
        self._heard_s = time.monotonic()
        self._ended: Exception | None = None
        self._pending: deque[str] = deque()  # our ids, in the order they were asked for
        self._ours: dict[str, str] = {}  # by the server's
        threading.Thread(target=self._read, name="etcd3-watch", daemon=True).start()

    @property
    def endpoint(self) -> str:
        return str(self._transport.settings.endpoints[0])

    def receive(self, until_s: float = math.inf) -> bytes | None:
        """The next message, or None when woken, or when it is ``until_s`` of the monotonic clock.

        Raises:
            OSError: the connection is lost; RequestRefused: the server said no.
        """
        now_s = time.monotonic()
        if not self._heard and self._ended is None:
            left_s = min(self._heard_s + self._heartbeat_s, until_s) - now_s
            self._wakeup.wait(max(0.0, left_s))
        if self._heard:
            return self._translated(self._heard.popleft())
        if self._ended is not None:
            raise self._ended
        if time.monotonic() >= self._heard_s + self._heartbeat_s:
            self._transport.send(requests.status_request(), self._heartbeat_s)
            self._heard_s = time.monotonic()
        return None

    def send(self, texts: Iterable[bytes]) -> None:
        for document in map(json.loads, texts):
            if create := document.get("create_request"):
                self._pending.append(create.pop("watch_id"))
            elif not self._name_as_the_server(document["cancel_request"]):
                continue
            self._asked.put(json_format.ParseDict(document, self._kind()))

    def close(self) -> None:
        self._asked.put(None)
        self._call.cancel()

    drop = close

    def _name_as_the_server(self, cancel: Document) -> bool:
        theirs = next((t for t, ours in self._ours.items() if ours == cancel["watch_id"]), None)
        cancel["watch_id"] = theirs
        return theirs is not None

    def _translated(self, message: Document) -> bytes:
        theirs = message.get("watch_id", "0")
        if message.get("created"):
            self._ours[theirs] = self._pending.popleft()
        message["watch_id"] = self._ours.get(theirs, "0")
        return json.dumps({"result": message}).encode()

    def _read(self) -> None:
        try:
            for message in self._call:
                self._heard.append(_document(message))
                self._heard_s = time.monotonic()
                self._wakeup.set()
            ended: Exception = ConnectionResetError("the server ended the stream")
        except grpc.RpcError as error:
            words = error.details() or str(error.code())
            lost = error.code() in _LOST
            refusal = answers.refusal(error.code().value[0], words)
            ended = ConnectionResetError(words) if lost else refusal
        self._ended = ended
        self._wakeup.set()


def _first(call: Callable[..., Any]) -> Callable[..., Any]:
    """Ask once of what answers a stream of requests."""

    def ask(message: Any, timeout_s: float, metadata: Any) -> Any:
        stream = call(iter([message]), timeout_s, metadata=metadata)
        for answer in stream:
            stream.cancel()
            return answer
        raise ValueError("the server ended the stream without an answer")

    return ask


def _document(message: Any) -> Document:
    document: Document = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return document
