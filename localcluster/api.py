"""The API server over plain HTTPS: as much of a client as starting a cluster needs."""

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster.certificates import KeyPair
from localcluster.errors import LocalClusterError

_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Api:
    """An API server, as one of its users sees it."""

    url: str
    authority: Path
    identity: KeyPair

    def responds(self, path: str) -> bool:
        """Return whether a GET of that path succeeds; False for whatever reason."""
        return self._ask(path) is not None

    def get(self, path: str) -> dict[str, Any] | None:
        """Return the object or list at that path, None when there is none or no answer."""
        answer = self._ask(path)
        return None if answer is None else json.loads(answer)

    def apply(self, path: str, content: dict[str, Any]) -> None:
        """Make the object at that path as given, whether it exists or not.

        Raises:
            LocalClusterError: the server refused it; with its reason.
        """
        request = self._request(f"{path}?fieldManager=localcluster&force=true")
        request.method = "PATCH"
        request.data = json.dumps(content).encode()
        request.add_header("Content-Type", "application/apply-patch+yaml")
        try:
            self._open(request)
        except urllib.error.HTTPError as error:
            reason = error.read().decode(errors="replace")
            raise LocalClusterError(f"the API server refused {path}: {reason}") from None
        except OSError as error:
            raise LocalClusterError(f"the API server did not take {path}: {error}") from None

    def _ask(self, path: str) -> bytes | None:
        try:
            return self._open(self._request(path))
        except OSError:  # refused, unhealthy, not found, a certificate not yet written
            return None

    def _request(self, path: str) -> urllib.request.Request:
        return urllib.request.Request(self.url + path)  # noqa: S310 (the URL is our own, https)

    def _open(self, request: urllib.request.Request) -> bytes:
        trust = ssl.create_default_context(cafile=self.authority)
        trust.load_cert_chain(self.identity.certificate, self.identity.key)
        handler = urllib.request.HTTPSHandler(context=trust)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), handler)
        with opener.open(request, timeout=_TIMEOUT_S) as response:
            body: bytes = response.read()
        return body
