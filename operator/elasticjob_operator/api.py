"""The ElasticJob as users write and read it: models from which the CRD is generated.

The text under each field is what ``kubectl explain`` prints. Models are frozen; a change is a copy.
Unknown fields are refused by the API server, so here they are ignored: an object that a newer
operator stored must stay readable.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from elasticjob_operator.autoscaling import Autoscaling
from elasticjob_operator.failure_policy import FailurePolicy
from elasticjob_operator.model import Model
from elasticjob_operator.progress import Progress
from elasticjob_operator.rendezvous_spec import Rendezvous
from elasticjob_operator.run_policy import RunPolicy

GROUP = "rdzv.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ElasticJob"
PLURAL = "elasticjobs"

MANAGER = f"{GROUP}/elasticjob-operator"
"""The name by which a job's managedBy may name this operator."""

MAX_REPLICAS = 9999
"""An index has at most four digits, so that every pod's name fits into a host name."""
MAX_JOB_NAME = 47
"""The longest object made from a job is `<job>-rdzv-<10 characters>`, a label of at most 63."""
HISTORY_ROUNDS = 20
LISTED_MEMBERS = 256
LISTED_HISTORY_MEMBERS = 64

Replicas = Annotated[int, Field(ge=1, le=MAX_REPLICAS)]


# --- spec --------------------------------------------------------------------------------------


class GangScheduling(Model):
    """How enough workers for a round find nodes together, or none of them takes one."""

    scheduler: Literal["Kubernetes", "Coscheduling", "Volcano"]
    """Whose PodGroup is made for the job, with minReplicas as its minimum: Kubernetes' own (1.37,
    feature gate GenericWorkload), that of the Coscheduling plugin (scheduler-plugins), or that of
    Volcano. The last two are scheduled by the template's schedulerName, or else by
    `scheduler-plugins-scheduler` and `volcano`."""
    queue: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Volcano's queue; its own default when left out."""


class ElasticJobSpec(Model):
    """What is wanted."""

    replicas: Replicas
    """Number of workers wanted now. `kubectl scale` and autoscalers change it, between minReplicas
    and maxReplicas."""
    min_replicas: Replicas
    """Least number of workers with which training goes on (the first number of torchrun's
    --nnodes)."""
    max_replicas: Replicas
    """Most workers that take part in a round (the second number of torchrun's --nnodes)."""
    replica_step: Replicas = 1
    """Of which the number of workers in a round is always a multiple, as minReplicas and
    maxReplicas must be. Of any other number of replicas the multiple below it is made. Workers that
    do not complete a step wait until there are enough."""
    spare_replicas: Annotated[int, Field(ge=0, le=MAX_REPLICAS)] = 0
    """Further workers that run and stand by. When a worker of the round is lost, one of them takes
    its place at once, and a new one is started. `replicas` does not count them."""
    autoscaling: Autoscaling | None = None
    """Has `replicas` changed by a HorizontalPodAutoscaler that the operator makes, in the job's
    name; none while the job is suspended. When left out, replicas are whoever's who changes them.
    """
    nproc_per_node: int | str = "auto"
    """Processes per worker (torchrun's --nproc-per-node): a number, or `auto`, `gpu` or `cpu`."""
    max_restarts: Annotated[int, Field(ge=0, le=1_000_000)] = 3
    """How often training may fail by itself before the job is Failed. Lost nodes, evictions,
    deleted pods and containers killed for memory do not count, unless failurePolicy says so."""
    failure_policy: FailurePolicy = FailurePolicy()
    """What happens when workers fail."""
    training_container: Annotated[str, Field(max_length=63)] | None = None
    """Name of the container that runs torchrun. Defaults to the template's first container. Only
    this container gets the rendezvous environment, and its exit decides the worker's success."""
    client_injection: Literal["Auto", "None"] = "Auto"
    """Auto: an init container brings the rendezvous client into the training container, so any
    image with torch will do. None: the image has it installed."""
    rendezvous: Rendezvous = Rendezvous()
    """How workers find each other and agree on a round."""
    network_policy: Literal["Auto", "None"] = "Auto"
    """Auto: network policies let only the job's workers and the operator reach its store, and only
    its own workers reach a worker. Policies of yours add to that. None: there are none."""
    run_policy: RunPolicy = RunPolicy()
    """What happens around the run."""
    managed_by: Annotated[str, Field(max_length=63)] | None = None
    """Whose job it is: a controller's domain-prefixed name. The operator does nothing about a job
    of another, such as `kueue.x-k8s.io/multikueue`, and writes no status. When left out, or
    `rdzv.dev/elasticjob-operator`, it is the operator's. It cannot be changed."""
    topology_key: (
        Annotated[
            str,
            Field(
                max_length=317,
                pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
            ),
        ]
        | None
    ) = None
    """A label of nodes, such as `topology.kubernetes.io/zone` or `kubernetes.io/hostname`. Workers
    on nodes that have the same value get adjacent ranks, and when the job is scaled in, whole such
    groups go first. It places no pods: the template's affinity and spread constraints do."""
    gang_scheduling: GangScheduling | None = None
    """Have a scheduler place minReplicas workers together or none. When left out, each pod is
    scheduled for itself, and a job may wait with fewer than minReplicas pods on nodes."""
    template: dict[str, Any]
    """The worker's pod (core/v1 PodTemplateSpec). restartPolicy is always Never: the operator
    replaces pods."""


# --- status ------------------------------------------------------------------------------------


class Condition(Model):
    """One aspect of the job's state (meta/v1 Condition)."""

    type: str
    """What it is about, such as Ready or Complete."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: str
    """One word for programs."""
    message: str
    """A sentence for people."""
    observed_generation: int = 0
    """The metadata.generation for which this was found."""
    last_transition_time: str
    """When `status` last changed."""


class RoundMember(Model):
    """One worker's place in the round."""

    pod: str
    """Name of the pod."""
    node: str
    """Name of the node it runs on."""
    rank: int
    """Its rank among the workers (torchrun's GROUP_RANK)."""


class RoundRecord(Model):
    """A round that was formed."""

    round: int
    """Its number; numbers never go back."""
    cause: str
    """Why it was formed: start, lost, left, restart, stalled, admission or drain."""
    reason: str
    """The same as a sentence."""
    workers: int
    """How many workers took part."""
    world_size: int | None = None
    """How many processes took part; unknown when nprocPerNode is decided in the pod."""
    seconds: float
    """From the end of the round before, or the first arrival, to the new round."""
    formed_at: str
    """When the operator saw it formed."""
    members: tuple[str, ...] = ()
    """The pods in the order of their ranks; left out for rounds of more than 64 workers."""


class RendezvousStatus(Model):
    """What the rendezvous store says."""

    run_id: str = ""
    """Under which the workers meet: the job's UID and the attempt."""
    endpoint: str = ""
    """Where they meet."""
    round: int = 0
    """The last round that was formed."""
    state: Literal["Unknown", "Waiting", "Forming", "Formed", "Broken", "Closed"] = "Unknown"
    """Waiting for workers, Forming a round, Formed, Broken (the next round is being formed), or
    Closed. Unknown while the store cannot be reached."""
    workers: int = 0
    """Workers in the last round that was formed."""
    world_size: int | None = None
    """Processes in the last round that was formed; unknown when nprocPerNode is decided in the
    pod, and unset while the job is suspended."""
    members: tuple[RoundMember, ...] = ()
    """Who is in the last round that was formed, by rank; the first 256."""
    waiting: int = 0
    """Workers that are there but not in the round."""
    history: tuple[RoundRecord, ...] = ()
    """The last 20 rounds, oldest first."""
    revision: int = 0
    """Up to where the store's history is taken into account here."""


class Restarts(Model):
    """How often something had to start again."""

    worker: int = 0
    """Rounds formed because training failed in a worker whose pod lived on. Counts against
    maxRestarts."""
    pod: int = 0
    """Pods whose training container failed by itself. Counts against maxRestarts."""
    infrastructure: int = 0
    """Pods lost to deletion, eviction, a lost node, a kill or a lack of memory. Never counts."""
    ignored: int = 0
    """Failures that a rule of the failurePolicy says to Ignore. Never counts."""
    counted: int = 0
    """What counts against maxRestarts: worker and pod together."""
    recent: tuple[str, ...] = ()
    """When those that count against failurePolicy.budget happened, within its window."""
    rounds_without_progress: int = 0
    """How many rounds in a row were ended by failures of training itself before they had stood for
    failurePolicy.progressSeconds."""
    last_failed_round: int = 0
    """The last round that a failure of training itself ended."""


class Failure(Model):
    """The last failure of training itself."""

    pod: str = ""
    """Where it happened."""
    rank: int | None = None
    """The pod's rank in its last round, if it had one."""
    exit_code: int | None = None
    """Exit code of the training container, if it ended; else of the worker in it, as far as
    torchrun's log tells (below 0: the signal that ended it)."""
    worker_rank: int | None = None
    """Rank of the process that failed first, among all processes (torchrun's RANK), where it is
    known."""
    local_rank: int | None = None
    """The same in its pod (torchrun's LOCAL_RANK)."""
    reason: str
    """One word for it."""
    message: str
    """The last words of the container, or of its worker."""
    traceback: str = ""
    """The end of the worker's traceback, from torch's error file: there is one if the script's main
    function has torch's decorator `record`."""
    at: str
    """When the operator saw it."""


class NodeFailures(Model):
    """Failures of this job's pods on one node, within the window of failurePolicy.avoidNodes."""

    node: str
    """Name of the node."""
    at: tuple[str, ...]
    """When they happened; only as many as it takes for the node to be avoided."""


class Attempts(Model):
    """The operator's own book of pods, by index."""

    created: tuple[int, ...] = ()
    """How many pods were made for each index."""
    ended: tuple[int, ...] = ()
    """How many of them ended and were counted."""


Phase = Literal["Pending", "Starting", "Running", "Restarting", "Suspended", "Complete", "Failed"]


class ElasticJobStatus(Model):
    """What is."""

    observed_generation: int = 0
    """The metadata.generation this status speaks of."""
    phase: Phase = "Pending"
    """Pending, Starting, Running, Restarting, Suspended, Complete or Failed; a summary of the
    conditions."""
    replicas: int = 0
    """Worker pods that exist and have not ended, but for spares."""
    spares: int = 0
    """Worker pods that exist beyond the replicas, by spareReplicas; rendezvous.waiting says how
    many of them stand by already."""
    ready: int = 0
    """Workers in the round that now stands."""
    ready_of_wanted: str = "0/0"
    """The same beside the number that is wanted, such as 3/4: spec.replicas, or the multiple of
    replicaStep below it."""
    active: int = 0
    """Worker pods whose training container runs."""
    succeeded: int = 0
    """Worker pods whose training container ended with success."""
    failed: int = 0
    """Worker pods that failed, over the whole run, whatever the cause."""
    selector: str = ""
    """Label selector of the worker pods, for autoscalers."""
    attempt: int = 0
    """How often the whole job started over."""
    client_image: str = ""
    """The image of the rendezvous client in the workers, from the first round on. New pods get the
    same one, whatever the operator is upgraded to, until the job is suspended."""
    start_time: str | None = None
    """When the job was started, or last resumed; unset for one that was suspended ever since."""
    completion_time: str | None = None
    """When the job became Complete or Failed."""
    rendezvous: RendezvousStatus = RendezvousStatus()
    """What the rendezvous store says."""
    progress: Progress | None = None
    """How far training has come, if its script says so."""
    restarts: Restarts = Restarts()
    """How often something had to start again."""
    last_failure: Failure | None = None
    """The last failure of training itself."""
    node_failures: tuple[NodeFailures, ...] = ()
    """Where pods failed of late, if the failurePolicy has avoidNodes; the last with the latest."""
    attempts: Attempts = Attempts()
    """The operator's own book of pods, by index."""
    autoscaler: str = ""
    """Name of the HorizontalPodAutoscaler that was made for the job."""
    conditions: tuple[Condition, ...] = ()
    """RendezvousReady, Ready, Progressing, Suspended, Complete, Failed."""


# --- the object --------------------------------------------------------------------------------


class Metadata(Model):
    """The part of metadata that the operator reads."""

    name: str
    namespace: str
    uid: str
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class ElasticJob(Model):
    """One elastic training job: torchrun in pods that may come and go."""

    metadata: Metadata
    spec: ElasticJobSpec
    """What is wanted."""
    status: ElasticJobStatus = ElasticJobStatus()
    """What is."""


def training_container(spec: ElasticJobSpec) -> str:
    """Return the name of the container that runs torchrun."""
    return spec.training_container or str(spec.template["spec"]["containers"][0]["name"])
