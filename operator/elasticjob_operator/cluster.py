"""The Kubernetes API: the few verbs that the operator uses, and nothing else.

Objects are plain JSON documents. Everything that can go wrong is one of two errors: the server
refused (:class:`Refused`, trying the same again is of no use by itself) or it could not be asked
(:class:`Unavailable`, try again).
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, Final

import aiohttp
from kubernetes.aio import client, config

from elasticjob_operator import answers, api, metrics
from elasticjob_operator.answers import ClusterError, Refused, Unavailable
from elasticjob_operator.provisioning import autoscaler, gang

__all__ = ["Cluster", "ClusterError", "Manifest", "Refused", "Unavailable", "connect"]

Manifest = dict[str, Any]

FIELD_MANAGER: Final = "elasticjob-operator"
_NAME: Final = re.compile("[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
REQUEST_TIMEOUT_S: Final = 20
LOG_LINES: Final = 200
LOG_TIMEOUT_S: Final = 5
"""The API server asks the node for a log, and the node may be lost."""
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")

_PLURALS: Final = {
    ("v1", "Pod"): "pods",
    ("v1", "Service"): "services",
    ("v1", "ServiceAccount"): "serviceaccounts",
    ("v1", "Event"): "events",
    ("v1", "Secret"): "secrets",
    ("v1", "PersistentVolumeClaim"): "persistentvolumeclaims",
    ("apps/v1", "StatefulSet"): "statefulsets",
    ("policy/v1", "PodDisruptionBudget"): "poddisruptionbudgets",
    ("networking.k8s.io/v1", "NetworkPolicy"): "networkpolicies",
    ("coordination.k8s.io/v1", "Lease"): "leases",
    (autoscaler.VERSION, autoscaler.KIND): "horizontalpodautoscalers",
    (api.API_VERSION, api.KIND): api.PLURAL,
    **{(dialect.version, gang.KIND): "podgroups" for dialect in gang.DIALECTS.values()},
}


class Cluster:
    """A connection to one cluster; close it when done."""

    def __init__(
        self, api_client: client.ApiClient, may_write: Callable[[], bool] = lambda: True
    ) -> None:
        self._client = api_client
        self._may_write = may_write

    def fenced(self, may_write: Callable[[], bool]) -> Cluster:
        """Return the same connection, on which nothing is written unless it may be just then."""
        return Cluster(self._client, may_write)

    def check_fence(self) -> None:
        """Say whether something may be written now.

        Raises:
            Unavailable: it may not.
        """
        if not self._may_write():
            raise Unavailable("this operator leads no longer")

    async def close(self) -> None:
        await self._client.close()

    async def apply(self, manifest: Manifest) -> Manifest:
        """Make the object as written, and leave alone what others wrote (server-side apply)."""
        return await self._request(
            "PATCH", _path(manifest), manifest, query=_APPLY, content="application/apply-patch+yaml"
        )

    async def create(
        self, manifest: Manifest, *, dry_run: bool = False, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> Manifest:
        """Create the object and return it as it is stored; a field that is not known is refused.

        With ``dry_run`` it is only said whether it would be.
        """
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        query |= {"dryRun": "All"} if dry_run else {}
        path = _path(manifest, named=False)
        return await self._request("POST", path, manifest, query=query, timeout_s=timeout_s)

    async def replace(
        self, manifest: Manifest, *, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> Manifest:
        """Put the object in place of the version it was made from; refused if that is no more."""
        return await self._request("PUT", _path(manifest), manifest, timeout_s=timeout_s)

    async def get(
        self,
        version: str,
        kind: str,
        namespace: str,
        name: str,
        *,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Manifest | None:
        """Return the object as it is now, or None."""
        try:
            path = _path(_reference(version, kind, namespace, name))
            return await self._request("GET", path, timeout_s=timeout_s)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    async def node(self, name: str) -> Manifest | None:
        """Return the node as it is now, or None."""
        try:
            return await self._request("GET", f"{_NODES}/{_part(name)}")
        except Refused as error:
            if error.status == 404:
                return None
            raise

    async def may_see_nodes(self) -> bool:
        """Return whether the API server lets us list the nodes.

        Raises:
            ClusterError: it does not say.
        """
        try:
            await self._request("GET", _NODES, query={"limit": "1"})
        except Refused as error:
            if error.status not in {401, 403}:
                raise
            return False
        return True

    async def log_end(self, namespace: str, pod: str, container: str) -> str:
        """Return the last lines that the container wrote, at most ``LOG_LINES``."""
        path = f"{_path(_reference('v1', 'Pod', namespace, pod))}/log"
        query = {"container": container, "tailLines": str(LOG_LINES)}
        log = await self._ask("GET", path, query=query, timeout_s=LOG_TIMEOUT_S)
        return log.decode(errors="replace")

    async def delete(
        self,
        version: str,
        kind: str,
        namespace: str,
        name: str,
        uid: str | None = None,
        *,
        at_once: bool = False,
    ) -> None:
        """Delete the object, if it is there; with ``uid`` only if it is that very one.

        With ``at_once`` a pod gets no grace, and nobody waits for its kubelet.
        """
        body: Manifest = {"propagationPolicy": "Background"}
        if at_once:
            body["gracePeriodSeconds"] = 0
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            await self._request("DELETE", _path(_reference(version, kind, namespace, name)), body)
        except Refused as error:
            if error.status not in {404, 409}:
                raise

    async def write_status(self, job: api.Metadata, status: Manifest) -> None:
        """Write the whole status of the job; one that is no more is left alone.

        Raises:
            Refused: the API server does not take it.
            Unavailable: it does not take it now, or does not answer.
        """
        manifest = _reference(api.API_VERSION, api.KIND, job.namespace, job.name)
        manifest["metadata"]["uid"] = job.uid
        manifest["status"] = status
        path = f"{_path(manifest)}/status"
        content = "application/apply-patch+yaml"
        try:
            await self._request("PATCH", path, manifest, query=_APPLY, content=content)
        except Refused as error:
            if error.status == 409:
                # Another job has this name by now, or the server gave up between two writers.
                raise Unavailable(f"the status was not written: {error}") from error
            if error.status != 404:
                raise

    async def is_served(self, namespace: str) -> bool:
        """Return whether the API server knows ElasticJobs and lets us list them.

        Args:
            namespace: Where; everywhere when empty.

        Raises:
            Refused: it knows them, and does not let us.
            Unavailable: it does not answer, or not yet.
        """
        where = f"namespaces/{_part(namespace)}/" if namespace else ""
        path = f"/apis/{api.API_VERSION}/{where}{api.PLURAL}"
        try:
            await self._request("GET", path, query={"limit": "1"})
        except Refused as error:
            if error.status != 404:
                raise
            return False
        return True

    async def _request(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        *,
        query: dict[str, str] | None = None,
        content: str = "application/json",
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Manifest:
        answer = await self._ask(
            method, path, body, query=query, content=content, timeout_s=timeout_s
        )
        return answers.document(answer)

    async def _ask(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        *,
        query: dict[str, str] | None = None,
        content: str = "application/json",
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> bytes:
        if method != "GET":
            self.check_fence()
        began, code = monotonic(), "none"
        try:
            request = await self._client.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json, */*", "Content-Type": content},
                body=body,
                auth_settings=["BearerToken"],
            )
            response = await self._client.call_api(*request, _request_timeout=timeout_s)
            text = await response.read()
            code = str(response.status)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise Unavailable(f"the API server does not answer: {answers.words(error)}") from error
        finally:
            metrics.count_call(method, path, code, monotonic() - began)
        answers.check(response.status, text)
        return bytes(text)


async def connect() -> Cluster:
    """Connect as the pod's service account, or else as the kubeconfig says.

    Raises:
        Unavailable: there is neither.
    """
    configuration = client.Configuration()
    try:
        if SERVICE_ACCOUNT.exists():
            config.load_incluster_config(client_configuration=configuration)
        else:
            await config.load_kube_config(
                config_file=os.environ.get("KUBECONFIG"), client_configuration=configuration
            )
    except (config.ConfigException, OSError) as error:
        raise Unavailable(f"no way to a cluster is known: {error}") from error
    return Cluster(client.ApiClient(configuration))


_NODES: Final = "/api/v1/nodes"
_APPLY: Final = {"fieldManager": FIELD_MANAGER, "force": "true"}


def _reference(version: str, kind: str, namespace: str, name: str) -> Manifest:
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _path(manifest: Manifest, *, named: bool = True) -> str:
    version, kind, metadata = manifest["apiVersion"], manifest["kind"], manifest["metadata"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    path = f"{root}/namespaces/{_part(metadata['namespace'])}/{_PLURALS[version, kind]}"
    return f"{path}/{_part(metadata['name'])}" if named else path


def _part(name: str) -> str:
    """Return the name as a part of a path, of which it must not lead out.

    Workers say how their pods are called, and may lie.

    Raises:
        Refused: nothing can have this name.
    """
    if not _NAME.fullmatch(name):
        raise Refused(404, "NotFound", f"nothing can have the name {name[:253]!r}")
    return name
