"""A job's own objects on the API server: made and kept as they should be, and never another's."""

from __future__ import annotations

from elasticjob_operator import cluster, pod_status
from elasticjob_operator.cluster import Cluster, Manifest
from elasticjob_operator.provisioning import gang
from elasticjob_operator.provisioning.objects import Reference


async def ensure(the_cluster: Cluster, manifest: Manifest, uid: str) -> Manifest:
    """Make the object, or bring it up to date; never take over one that is not this job's.

    Raises:
        Refused: it is another's, or the API server does not take it.
        Unavailable: the API server does not answer.
    """
    try:
        return await the_cluster.create(manifest)
    except cluster.Refused as error:
        if error.status == 404 and manifest["kind"] == gang.KIND:
            raise cluster.Refused(404, error.reason, gang.unknown(manifest)) from error
        if error.reason != "AlreadyExists":
            raise
    if manifest["kind"] == "Secret":
        return manifest  # there is no right to read it, and only this job's has this name
    return await apply(the_cluster, manifest, uid)


async def apply(the_cluster: Cluster, manifest: Manifest, uid: str) -> Manifest:
    """Do the same so that a field that is left out later goes, as it does not in what was created.

    Raises:
        Refused: it is another's, or the API server does not take it.
        Unavailable: the API server does not answer.
    """
    kind, metadata = manifest["kind"], manifest["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    there = await the_cluster.get(manifest["apiVersion"], kind, namespace, name)
    if there is not None and pod_status.owner_uid(there["metadata"]) != uid:
        raise taken(kind, name)
    return await the_cluster.apply(manifest)


async def remove(the_cluster: Cluster, namespace: str, reference: Reference, uid: str) -> None:
    """Delete the object, unless it is another's.

    Raises:
        Refused: the API server does not let it be deleted.
        Unavailable: the API server does not answer.
    """
    version, kind, name = reference
    there = await the_cluster.get(version, kind, namespace, name)
    if there is not None and pod_status.owner_uid(there["metadata"]) == uid:
        await the_cluster.delete(version, kind, namespace, name, there["metadata"]["uid"])


def taken(kind: str, name: str) -> cluster.Refused:
    """Return what to say of a name that another's object has."""
    words = f"the {kind} {name} is there already and is not this job's; waiting for it to go"
    return cluster.Refused(409, "AlreadyExists", words)
