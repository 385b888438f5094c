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
    claims = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates") or ()]
    volumes = [
        {"name": claim, "persistentVolumeClaim": {"claimName": f"{claim}-{name}"}}
        for claim in claims
    ]
    made["spec"]["volumes"] = [*(made["spec"].get("volumes") or ()), *volumes]
    return {"apiVersion": "v1", "kind": "Pod", **made}


def touched(stateful_set: Manifest, mark: str) -> Manifest:
    """Return it with a mark that was not there: a change makes the controller try again at once."""
    made = deepcopy(stateful_set)
    made["metadata"]["annotations"] = {TOUCHED: mark}
    return made
