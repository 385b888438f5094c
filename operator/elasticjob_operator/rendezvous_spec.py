"""Where and how workers meet, as users write it; the stores are in :mod:`stores`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from elasticjob_operator.model import Model

URL = r"^https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$"


class Storage(Model):
    """A volume for each member of the job's own etcd, deleted with the job."""

    size: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(Mi|Gi|Ti|M|G|T)$", max_length=16)]
    """How large, such as `1Gi`; at least 256Mi, since etcd sets room aside for its log."""
    storage_class_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """The StorageClass; the cluster's default when left out."""


SECRET_KEYS = ("ca.crt", "tls.crt", "tls.key", "username", "password")
"""What a Secret with credentials may hold: any of them, those that belong together both."""


class SecretRef(Model):
    """A Secret in the job's namespace."""

    name: Annotated[str, Field(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
    """Its name."""


class Etcd(Model):
    """The etcd (v3 API) in which the workers meet."""

    members: Literal[1, 3] = 1
    """How many members the job's own etcd has. One that is lost is replaced, and filled again by
    the workers; with three, the others go on without it."""
    storage: Storage | None = None
    """A volume for each member of the job's own etcd. Without it, a member that is replaced comes
    back empty, which costs the job nothing: the others, or the workers, bring back what it had."""

    endpoints: Annotated[
        tuple[Annotated[str, Field(pattern=URL)], ...],
        Field(max_length=16),
    ] = ()
    """Client URLs of an etcd that is already there, such as `https://etcd.infra.svc:2379`. When
    empty, the operator runs an etcd for this job alone, with TLS."""
    secret_ref: SecretRef | None = None
    """The Secret with what it takes to be let in at the endpoints: any of the keys `ca.crt`,
    `tls.crt` with `tls.key`, and `username` with `password`. It is mounted into the training
    container; the operator reads it, too, for which its chart needs rbac.readSecrets=true."""


class Rendezvous(Model):
    """How workers find each other and agree on a round."""

    backend: Literal["etcd", "c10d"] = "etcd"
    """In which kind of store the workers meet. etcd: in an etcd. c10d: in a torch TCPStore, hosted
    by a pod of its own that runs the training image, with no storage and no other image; one that
    is lost is replaced, and filled again by the workers. The image's python3 must have torch."""
    etcd: Etcd = Etcd()
    """The etcd (v3 API) in which the workers meet."""
    join_timeout_seconds: Annotated[int, Field(ge=1, le=86_400)] = 600
    """How long a worker waits for a round before it gives up and its pod fails. It does not run
    while pods of the job wait for a node."""
    last_call_seconds: Annotated[int, Field(ge=0, le=3600)] = 30
    """How long a round with at least minReplicas workers waits for further ones that are expected.
    It ends at once when nobody else is expected."""
    admission_window_seconds: Annotated[int, Field(ge=0, le=3600)] = 3
    """How long newcomers gather before a standing round is broken for them, so that a scale-out
    costs one new round. They wait for further ones that are expected for up to
    lastCallSeconds."""
    admission_interval_seconds: Annotated[int, Field(ge=0, le=86_400)] = 0
    """How long a round trains at least before it is broken for newcomers, replacements among them:
    each admission costs every worker a restart. Who is lost is not waited for."""
    lease_seconds: Annotated[int, Field(ge=2, le=300)] = 5
    """How long a worker may be silent before the others go on without it. The operator reports
    pods that ended well before that."""
