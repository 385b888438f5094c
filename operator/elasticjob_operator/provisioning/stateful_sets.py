"""What a StatefulSet's controller does, as far as it has to be known."""

from __future__ import annotations

from copy import deepcopy
from typing import Final

from elasticjob_operator.provisioning.objects import Manifest

TOUCHED: Final = "rdzv.dev/touched"


def pod(stateful_set: Manifest, name: str) -> Manifest:
    """Return the pod of this name as the controller makes it, with its claims for volumes."""
    metadata, spec = stateful_set["metadata"], stateful_set["spec"]
    made = deepcopy(spec["template"])
    made["metadata"] |= {"namespace": metadata["namespace"], "name": name}
    templates = spec.get("volumeClaimTemplates") or ()
    volumes = [
        {"name": volume, "persistentVolumeClaim": {"claimName": claim_name(volume, name)}}
        for volume in (template["metadata"]["name"] for template in templates)
    ]
    made["spec"]["volumes"] = [*(made["spec"].get("volumes") or ()), *volumes]
    return {"apiVersion": "v1", "kind": "Pod", **made}


def claims(stateful_set: Manifest, name: str) -> list[Manifest]:
    """Return the claims for volumes that the controller makes before it makes the pod."""
    namespace, spec = stateful_set["metadata"]["namespace"], stateful_set["spec"]
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "namespace": namespace,
                "name": claim_name(template["metadata"]["name"], name),
                "labels": spec["selector"]["matchLabels"],
            },
            "spec": deepcopy(template["spec"]),
        }
        for template in spec.get("volumeClaimTemplates") or ()
    ]


def claim_name(volume: str, pod: str) -> str:
    """Return the name of the claim for this volume of this pod."""
    return f"{volume}-{pod}"


def touched(stateful_set: Manifest, mark: str) -> Manifest:
    """Return it with a mark that was not there: a change makes the controller try again at once."""
    made = deepcopy(stateful_set)
    made["metadata"]["annotations"] = {TOUCHED: mark}
    return made
