"""How the rendezvous client comes into a container whose image lacks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from elasticjob_operator import labels
from elasticjob_operator.provisioning import pod_defaults
from elasticjob_operator.provisioning.objects import Manifest

VOLUME: Final = labels.CLIENT
SOURCE: Final = "/opt/elasticjob/client"
FOLDER: Final = "/rdzv_client.d"
COPY_RESOURCES: Final = {"cpu": "250m", "memory": "64Mi"}


def inject(spec: Manifest, container: Manifest, image: str, pull_policy: str) -> None:
    """Have an init container bring the client beside one container of the pod."""
    mount = {"name": VOLUME, "mountPath": FOLDER}
    spec["volumes"] = [
        *(spec.get("volumes") or ()),
        {"name": VOLUME, "emptyDir": {"sizeLimit": "64Mi"}},
    ]
    container["volumeMounts"] = [
        *(container.get("volumeMounts") or ()),
        {**mount, "readOnly": True},
    ]
    copy = {
        "name": VOLUME,
        "image": image,
        "imagePullPolicy": pull_policy,
        "command": ["cp", "-R", f"{SOURCE}/.", FOLDER],
        "volumeMounts": [mount],
        # Requests equal limits, so that a pod that is Guaranteed stays so.
        "resources": {"requests": COPY_RESOURCES, "limits": COPY_RESOURCES},
        "securityContext": pod_defaults.RESTRICTED,
    }
    spec["initContainers"] = [copy, *(spec.get("initContainers") or ())]


def python_path(own: Sequence[Manifest]) -> list[Manifest]:
    """Return what puts the client before a template's own path, wherever that comes from.

    Args:
        own: The template's environment.
    """
    theirs = next((entry for entry in own if entry["name"] == "PYTHONPATH"), None)
    if theirs is None:
        return [{"name": "PYTHONPATH", "value": FOLDER}]
    kept = {**theirs, "name": "RDZV_TEMPLATE_PYTHONPATH"}
    return [kept, {"name": "PYTHONPATH", "value": f"{FOLDER}:$(RDZV_TEMPLATE_PYTHONPATH)"}]
