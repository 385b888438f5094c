"""The wiring to kopf: watches, indices and login. Handlers only say which job needs a look.

Nothing here depends on which event came, so a missed event costs nothing, and no annotation or
finalizer is ever written. The one short cut: a pod that is gone is told to the store at once,
before any reconcile, since its peers hang until they hear it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import kopf

from elasticjob_operator import (
    api,
    endings,
    kopf_toggles,
    labels,
    node_facts,
    pod_facts,
    store_facts,
)
from elasticjob_operator.node_facts import Node
from elasticjob_operator.pod_facts import WorkerPod
from elasticjob_operator.rounds import Rounds
from elasticjob_operator.store_facts import StorePod
from elasticjob_operator.watches import Watches
from elasticjob_operator.workqueue import Key, WorkQueue

Body = Mapping[str, Any]

Wanted = dict[str, Any]

STORES: Wanted = {labels.JOB: kopf.PRESENT, labels.ROLE: labels.STORE}
JOBS = (api.GROUP, api.VERSION, api.PLURAL)


class Indices:
    """What the watches have told, read from kopf's indices."""

    def __init__(self) -> None:
        self.jobs: Mapping[Any, Iterable[Any]] = {}
        self.workers_by_job: Mapping[Any, Iterable[WorkerPod]] = {}
        self.stores_by_job: Mapping[Any, Iterable[StorePod]] = {}
        self.jobs_by_node: Mapping[Any, Iterable[Key]] = {}
        self.nodes: Mapping[Any, Iterable[Node]] = {}
        self.sees_nodes = False

    def job(self, key: Key) -> dict[str, Any] | None:
        return next(iter(self.jobs.get(tuple(key), ())), None)

    def statuses(self) -> Iterator[dict[str, Any]]:
        """Return the status of every job."""
        return (job.get("status") or {} for found in self.jobs.values() for job in found)

    def workers(self, key: Key) -> Iterable[WorkerPod]:
        return self.workers_by_job.get(tuple(key), ())

    def store(self, key: Key) -> Iterable[StorePod]:
        return self.stores_by_job.get(tuple(key), ())

    def node(self, name: str) -> Node | None:
        return next(iter(self.nodes.get(name, ())), None)

    def any_node_ready(self) -> bool:
        return any(node.ready for found in self.nodes.values() for node in found)

    def jobs_on(self, node: str) -> set[Key]:
        """Return the jobs that have pods on this node."""
        return set(self.jobs_by_node.get(node, ()))


def watched(*, sees_nodes: bool) -> list[str]:
    """Return the resources that are watched."""
    return [api.PLURAL, "pods", *(["nodes"] if sees_nodes else [])]


def register(
    queue: WorkQueue, stores: Rounds, indices: Indices, watches: Watches, *, sees_nodes: bool
) -> kopf.OperatorRegistry:
    """Return the handlers for kopf; nodes are watched only where that is allowed."""
    kopf_toggles.install()
    registry = kopf.OperatorRegistry()
    indices.sees_nodes = sees_nodes
    _register_settings(registry, indices)
    _register_login(registry, watches)
    _register_indices(registry)
    _register_events(registry, queue, stores)
    if sees_nodes:
        _register_nodes(registry, queue, indices)
    return registry


def _register_settings(registry: kopf.OperatorRegistry, indices: Indices) -> None:
    @kopf.on.startup(registry=registry)
    def start(settings: kopf.OperatorSettings, **by_name: Any) -> None:
        settings.posting.enabled = False
        settings.scanning.disabled = True
        settings.watching.label_selectors["pods"] = labels.JOB
        settings.watching.connect_timeout = 10
        settings.networking.request_timeout = 60
        # kopf passes each index under the name of its function.
        indices.jobs = by_name[jobs.__name__]
        indices.workers_by_job = by_name[workers.__name__]
        indices.stores_by_job = by_name[store_pods.__name__]
        if indices.sees_nodes:
            indices.nodes = by_name[nodes.__name__]
            indices.jobs_by_node = by_name[jobs_on_nodes.__name__]


def _register_login(registry: kopf.OperatorRegistry, watches: Watches) -> None:
    sessions: dict[kopf.ConnectionInfo, kopf.AiohttpSession] = {}

    @kopf.on.login(registry=registry)
    async def log_in(**everything: Any) -> kopf.AiohttpSession | None:
        found = kopf.login_with_service_account(**everything)
        found = found or kopf.login_with_kubeconfig(**everything)
        if found is None:
            return None
        if found not in sessions:  # kopf knows by the session which credentials were refused
            sessions.clear()
            sessions[found] = _session(found, watches)
        return sessions[found]


def _session(found: kopf.ConnectionInfo, watches: Watches) -> kopf.AiohttpSession:
    listening = watches.session(
        headers=found.as_http_headers(),
        tls=found.as_ssl_context(),
        proxy=found.proxy_url,
        trust_env=found.trust_env,
    )
    return kopf.AiohttpSession(
        server=found.server,
        default_namespace=found.default_namespace,
        priority=found.priority,
        expiration=found.expiration,
        aiohttp_session=listening,
    )


def _register_indices(registry: kopf.OperatorRegistry) -> None:
    kopf.index(*JOBS, when=is_ours, registry=registry)(jobs)
    kopf.index("pods", when=is_worker, registry=registry)(workers)
    kopf.index("pods", labels=STORES, registry=registry)(store_pods)


def is_ours(spec: kopf.Spec, **_: Any) -> bool:
    """Whether this operator looks after the job, and no other controller."""
    return bool(spec.get("managedBy", api.MANAGER) == api.MANAGER)


def jobs(body: kopf.Body, **_: Any) -> dict[Any, Any]:
    """Index jobs by their key."""
    kept = {name: value for name, value in body.items() if name != "metadata"}
    # Managed fields may be larger than all the rest.
    metadata = {k: v for k, v in body["metadata"].items() if k != "managedFields"}
    return {_key(body): {**kept, "metadata": metadata}}


def is_worker(body: kopf.Body, **_: Any) -> bool:
    """Whether the pod looks like a worker of one of the jobs."""
    return pod_facts.is_worker(body)


def workers(body: kopf.Body, **_: Any) -> dict[Any, WorkerPod]:
    """Index worker pods by the key of their job."""
    return {_job_of(body): pod_facts.worker_pod(body)}


def store_pods(body: kopf.Body, **_: Any) -> dict[Any, StorePod]:
    """Index store pods by the key of their job."""
    return {_job_of(body): store_facts.store_pod(body)}


def nodes(body: kopf.Body, **_: Any) -> dict[Any, Node]:
    """Index nodes by name."""
    return {body["metadata"]["name"]: node_facts.node(body)}


def jobs_on_nodes(body: kopf.Body, **_: Any) -> dict[Any, Key]:
    """Index jobs by the nodes on which their pods are."""
    node = body["spec"].get("nodeName")
    return {node: _job_of(body)} if node else {}


def _register_nodes(registry: kopf.OperatorRegistry, queue: WorkQueue, indices: Indices) -> None:
    kopf.index("nodes", registry=registry)(nodes)
    kopf.index("pods", labels={labels.JOB: kopf.PRESENT}, registry=registry)(jobs_on_nodes)

    @kopf.on.event("nodes", registry=registry)
    def node_changed(name: str, **_: Any) -> None:
        for key in indices.jobs_on(name):
            queue.add(key)


def _register_events(registry: kopf.OperatorRegistry, queue: WorkQueue, stores: Rounds) -> None:
    @kopf.on.event(*JOBS, registry=registry)
    def job_changed(body: kopf.Body, **_: Any) -> None:
        queue.add(_key(body))

    @kopf.on.event("pods", when=is_worker, registry=registry)
    async def worker_changed(event: kopf.RawEvent, body: kopf.Body, **_: Any) -> None:
        pod = pod_facts.worker_pod(body)
        queue.add(_job_of(body))
        deleted = event["type"] == "DELETED" and not pod.succeeded
        if (pod.gone or deleted) and (link := stores.link(pod.job_uid)):
            ending = endings.classify(pod) if pod.gone else endings.VANISHED
            await link.mark_gone(pod.uid, f"its pod {ending.message}")

    @kopf.on.event("pods", labels=STORES, registry=registry)
    def store_changed(body: kopf.Body, **_: Any) -> None:
        pod = store_facts.store_pod(body)
        queue.add(_job_of(body))
        # The host of a TCPStore is ready only when it was reached.
        if (pod.ready or pod.started) and (link := stores.link(pod.job_uid)):
            link.retry_now()


def _key(body: Body) -> Key:
    return Key(body["metadata"]["namespace"], body["metadata"]["name"])


def _job_of(body: Body) -> Key:
    return Key(body["metadata"]["namespace"], body["metadata"]["labels"][labels.JOB])
