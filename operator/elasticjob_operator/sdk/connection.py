"""The API server as a user asks it: the few verbs that the SDK needs, on plain JSON documents."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import urllib3
from kubernetes import client, config

from elasticjob_operator import answers, api
from elasticjob_operator.sdk.manifests import Manifest

FIELD_MANAGER: Final = "elasticjob"
CONNECT_LIMIT_S: Final = 10
ANSWER_LIMIT_S: Final = 20
IN_CLUSTER: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_JOBS: Final = {"group": api.GROUP, "version": api.VERSION, "plural": api.PLURAL}
_LIMITS: Final = {"_request_timeout": (CONNECT_LIMIT_S, ANSWER_LIMIT_S)}
_STREAM: Final = {"_preload_content": False}


class Connection:
    """A connection to one cluster, and the namespace that is meant there; close it when done.

    Every method raises :class:`answers.Refused` and :class:`answers.Unavailable`.
    """

    def __init__(self, api_client: Any, namespace: str) -> None:
        self._client = api_client
        self._custom = client.CustomObjectsApi(api_client)
        self._core = client.CoreV1Api(api_client)
        self.namespace = namespace

    def close(self) -> None:
        self._client.close()

    def jobs(self, *, everywhere: bool) -> list[Manifest]:
        """Return the namespace's jobs, or the cluster's."""
        with _answered():
            if everywhere:
                found = self._custom.list_cluster_custom_object(**_JOBS, **_LIMITS)
            else:
                found = self._custom.list_namespaced_custom_object(**self._where, **_LIMITS)
        jobs: list[Manifest] = found["items"]
        return jobs

    def job(self, name: str) -> Manifest:
        """Return the job."""
        with _answered():
            return _manifest(self._custom.get_namespaced_custom_object(**self._named(name)))

    def create(self, manifest: Manifest, *, dry_run: bool) -> Manifest:
        """Create the job; a field that is not known is refused."""
        options = {"field_manager": FIELD_MANAGER, "field_validation": "Strict"}
        options |= {"dry_run": "All"} if dry_run else {}
        where = {**self._where, **_LIMITS, **options}
        with _answered():
            return _manifest(self._custom.create_namespaced_custom_object(body=manifest, **where))

    def change(self, name: str, patch: Manifest) -> Manifest:
        """Change what the merge patch names."""
        how = {**self._named(name), "field_manager": FIELD_MANAGER, **_MERGE}
        with _answered():
            return _manifest(self._custom.patch_namespaced_custom_object(body=patch, **how))

    def scale(self, name: str, replicas: int) -> None:
        """Change the number of workers, by the right to scale alone."""
        patch = {"spec": {"replicas": replicas}}
        how = {**self._named(name), "field_manager": FIELD_MANAGER, **_MERGE}
        with _answered():
            self._custom.patch_namespaced_custom_object_scale(body=patch, **how)

    def delete(self, name: str) -> None:
        """Delete the job, and with it all that belongs to it."""
        with _answered():
            self._custom.delete_namespaced_custom_object(
                **self._named(name), propagation_policy="Background"
            )

    def changes(self, name: str, version: str, limit_s: int) -> Iterator[tuple[str, Manifest]]:
        """Yield how the job changed after this version, and the job, for at most so long.

        It ends earlier with its connection.
        """
        how = {
            "field_selector": f"metadata.name={name}",
            "resource_version": version,
            "timeout_seconds": limit_s,
            "_request_timeout": (CONNECT_LIMIT_S, limit_s + ANSWER_LIMIT_S),
        }
        with _answered():
            stream = self._custom.list_namespaced_custom_object(
                **self._where, **how, watch=True, **_STREAM
            )
            for line in _lines(stream):
                event = answers.document(line)
                kind, seen = event["type"], event["object"]
                if kind == "ERROR":
                    raise answers.Refused(seen["code"], seen["reason"], seen["message"])
                yield kind, seen

    def pods(self, selector: str) -> list[Manifest]:
        """Return the metadata of these pods: names and labels."""
        where = {"namespace": self.namespace, "label_selector": selector}
        with _answered():
            found = self._core.list_namespaced_pod(**where, **_LIMITS)
        return [{"name": p.metadata.name, "labels": p.metadata.labels or {}} for p in found.items]

    def log(self, pod: str, container: str, *, follow: bool, tail: int | None) -> Iterator[str]:
        """Yield the lines of the container's log, with ``follow`` as they come."""
        where = {"name": pod, "namespace": self.namespace, "container": container}
        # What is followed may be silent for as long as it likes.
        options: dict[str, Any] = {"follow": True} if follow else {**_LIMITS}
        options |= {} if tail is None else {"tail_lines": tail}
        with _answered():
            stream = self._core.read_namespaced_pod_log(**where, **options, **_STREAM)
            for line in _lines(stream):
                yield line.decode(errors="replace").rstrip("\n")

    @property
    def _where(self) -> dict[str, str]:
        return {**_JOBS, "namespace": self.namespace}

    def _named(self, name: str) -> dict[str, Any]:
        return {**self._where, "name": name, **_LIMITS}


def connect(
    namespace: str | None = None, context: str | None = None, kubeconfig: str | None = None
) -> Connection:
    """Connect as kubectl would: by a kubeconfig, or else as the pod's service account.

    Args:
        namespace: The context's own, or the pod's, when left out.
        context: The kubeconfig's current one when left out.
        kubeconfig: Where it is; ``KUBECONFIG`` and ``~/.kube/config`` when left out.

    Raises:
        Unavailable: no way to a cluster is known.
    """
    configuration = client.Configuration()
    # Else each try of a server that is away is told in a log; who asks tries again, or does not.
    configuration.retries = 0
    try:
        if _is_in_cluster(kubeconfig):
            config.load_incluster_config(client_configuration=configuration)
            own = (IN_CLUSTER / "namespace").read_text().strip()
        else:
            own = _load(configuration, context, kubeconfig or os.environ.get("KUBECONFIG"))
    except (config.ConfigException, OSError, ValueError) as error:
        raise answers.Unavailable(f"no way to a cluster is known: {error}") from error
    return Connection(client.ApiClient(configuration), namespace or own)


_MERGE: Final = {"_content_type": "application/merge-patch+json"}


def _is_in_cluster(kubeconfig: str | None) -> bool:
    given = kubeconfig or os.environ.get("KUBECONFIG") or ""
    usual = Path("~/.kube/config").expanduser()
    return not given and not usual.exists() and (IN_CLUSTER / "token").exists()


def _load(configuration: Any, context: str | None, kubeconfig: str | None) -> str:
    """Load what the kubeconfig says into the configuration; return the context's namespace."""
    where = {"config_file": kubeconfig}
    config.load_kube_config(
        **where, context=context, client_configuration=configuration, persist_config=False
    )
    contexts, current = config.list_kube_config_contexts(**where)
    chosen = next((c for c in contexts if c["name"] == context), current)
    return str(chosen["context"].get("namespace") or "default")


@contextmanager
def _answered() -> Iterator[None]:
    """Turn what the client raises into what the API server answered."""
    try:
        yield
    except client.ApiException as error:
        if not error.status:
            words = f"the API server does not answer: {error.reason}"
            raise answers.Unavailable(words) from error
        _check(error.status, (error.body or "").encode())
        raise
    except (urllib3.exceptions.HTTPError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise answers.Unavailable(f"the API server does not answer: {reason}") from error


def _lines(stream: Any) -> Iterator[bytes]:
    with closing(stream):
        if stream.status >= 300:
            _check(stream.status, stream.read())
        yield from stream


def _check(status: int, text: bytes) -> None:
    if status == 404 and not answers.document(text):
        words = f"this cluster knows no {api.KIND}s: its operator is not installed"
        raise answers.Refused(status, "", words)
    answers.check(status, text)


def _manifest(answer: Any) -> Manifest:
    found: Manifest = answer
    return found
