"""What the parties of a job know each other by: Secrets, and how pods are given them.

The Secrets of a job's own store are made once and never changed: they are derived from the
operator's secret and the job. Their names tell of both, so whatever has such a name is this job's.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from elasticjob_operator import api, labels, rendezvous_spec
from elasticjob_operator.authority import KeyPair
from elasticjob_operator.provisioning import addresses, names
from elasticjob_operator.provisioning.objects import Manifest, owned
from elasticjob_operator.settings import Settings
from elasticjob_operator.timestamps import instant

STORE_FOLDER: Final = "/var/run/secrets/rdzv.dev/store"
WORKER_FOLDER: Final = "/var/run/secrets/rdzv.dev/worker"
VOLUME: Final = "rdzv-credentials"
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
"""etcd's HTTP gateway reaches its own server there, and is let in by the same certificate."""


def manifests(job: api.ElasticJob, settings: Settings) -> tuple[Manifest, ...]:
    """Return the Secrets of the job's own store: the store's own, and the workers'."""
    uid, created_at = job.metadata.uid, _created_at(job)
    store = settings.authority.store(uid, created_at, _hosts(job))
    worker = settings.authority.worker(uid, created_at)
    return (
        _key_pair_secret(job, _name(job, settings, labels.STORE), labels.STORE, store),
        _key_pair_secret(job, _name(job, settings, labels.WORKER), labels.WORKER, worker),
    )


def token_secret(job: api.ElasticJob, settings: Settings) -> Manifest:
    """Return the Secret by which the host of a TCPStore knows the operator."""
    content = {"token": token_of_operator(job, settings).encode()}
    return _secret(job, _name(job, settings, labels.STORE), labels.STORE, "Opaque", content)


def token_of_operator(job: api.ElasticJob, settings: Settings) -> str:
    """Return what the operator shows to the host of the job's TCPStore."""
    return settings.authority.token(job.metadata.uid)


def of_operator(job: api.ElasticJob, settings: Settings) -> KeyPair:
    """Return what the operator shows to the job's own store."""
    return settings.authority.operator(job.metadata.uid, _created_at(job))


def store_volume(job: api.ElasticJob, settings: Settings) -> Manifest:
    """Return the volume of a pod of the store."""
    # The store runs with a group of its own, which owns the volume.
    secret = {"secretName": _name(job, settings, labels.STORE), "defaultMode": 0o440}
    return {"name": VOLUME, "secret": secret}


def worker_volume(job: api.ElasticJob, settings: Settings) -> Manifest | None:
    """Return the volume of a worker's pod, if its store asks for anything."""
    if names.has_own_etcd(job):
        secret: Manifest = {"secretName": _name(job, settings, labels.WORKER)}
    elif reference := job.spec.rendezvous.etcd.secret_ref:
        # Nothing else that may be in it; optional is which of these are.
        items = [{"key": key, "path": key} for key in rendezvous_spec.SECRET_KEYS]
        secret = {"secretName": reference.name, "items": items, "optional": True}
    else:
        return None
    # As whom the training runs is the template's choice.
    return {"name": VOLUME, "secret": {**secret, "defaultMode": 0o444}}


def mount(folder: str) -> Manifest:
    """Return the mount of either volume in a container."""
    return {"name": VOLUME, "mountPath": folder, "readOnly": True}


def client_flags() -> tuple[str, ...]:
    """Return the flags by which etcd lets in who has a certificate of its own job.

    A trusted authority makes it ask for certificates. ``--client-cert-auth`` would besides take
    their names for those of users, and warn of the gateway's own at every request.
    """
    return (
        f"--cert-file={STORE_FOLDER}/tls.crt",
        f"--key-file={STORE_FOLDER}/tls.key",
        f"--trusted-ca-file={STORE_FOLDER}/ca.crt",
    )


def peer_flags() -> tuple[str, ...]:
    """Return the flags by which etcd's members let in each other, and no worker.

    The name of a pod that was just made leads elsewhere for a while, so that a member's certificate
    is not held against the address it comes from.
    """
    return (
        f"--peer-cert-file={STORE_FOLDER}/tls.crt",
        f"--peer-key-file={STORE_FOLDER}/tls.key",
        f"--peer-trusted-ca-file={STORE_FOLDER}/ca.crt",
        "--peer-client-cert-auth",
        f"--peer-cert-allowed-cn={labels.STORE}",
        "--peer-skip-client-san-verification",
    )


def _hosts(job: api.ElasticJob) -> tuple[str, ...]:
    members = (addresses.member_host(job, member) for member in names.members(job))
    return (addresses.store_host(job), *members, *LOOPBACK)


def _name(job: api.ElasticJob, settings: Settings, role: str) -> str:
    fingerprint = settings.authority.fingerprint(job.metadata.uid)
    return f"{job.metadata.name}-{role}-{fingerprint}"


def _key_pair_secret(job: api.ElasticJob, name: str, role: str, pair: KeyPair) -> Manifest:
    content = {"ca.crt": pair.authority, "tls.crt": pair.certificate, "tls.key": pair.key}
    return _secret(job, name, role, "kubernetes.io/tls", content)


def _secret(
    job: api.ElasticJob, name: str, role: str, kind: str, content: Mapping[str, bytes]
) -> Manifest:
    return {
        **owned(job, "v1", "Secret", name, role),
        "type": kind,
        "immutable": True,
        "data": {key: b64encode(value).decode() for key, value in content.items()},
    }


def _created_at(job: api.ElasticJob) -> datetime:
    created_at = instant(job.metadata.creation_timestamp)
    assert created_at, "the API server sets it"
    return created_at
