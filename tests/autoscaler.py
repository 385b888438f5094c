"""A HorizontalPodAutoscaler of an ElasticJob, and the measurements that it reads.

The metrics APIs are resources of the API server itself here: the objects are the measurements.
"""

from datetime import UTC, datetime

_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _resource(group, plural, kind):
    """Return the definition of a resource that looks like a metrics API's."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural},
            "versions": [
                {
                    "name": "v1beta1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _ANYTHING},
                }
            ],
        },
    }


EXTERNAL = _resource("external.metrics.k8s.io", "backlog", "ExternalMetricValue")
OF_PODS = _resource("metrics.k8s.io", "pods", "PodMetrics")


def autoscaler(least, most, **metric):
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "digits"},
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "rdzv.dev/v1alpha1",
                "kind": "ElasticJob",
                "name": "digits",
            },
            "minReplicas": least,
            "maxReplicas": most,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
            "metrics": [metric],
        },
    }


def by_backlog(least, most, each):
    """Return one that wants a worker for so much of what waits in a queue."""
    target = {"type": "AverageValue", "averageValue": str(each)}
    external = {"metric": {"name": "backlog"}, "target": target}
    return autoscaler(least, most, type="External", external=external)


def backlog(value):
    """Return the measurement of what waits there."""
    return measurement("ExternalMetricValue", "queue", {}, metricName="backlog", value=str(value))


def measurement(kind, name, labels, **fields):
    api = f"{'external.' if kind == 'ExternalMetricValue' else ''}metrics.k8s.io/v1beta1"
    metadata = {"name": name, "labels": labels}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "timestamp": now, **fields}
