"""What is counted, and under which few names."""

import pytest

from elasticjob_operator import api, gauges, metrics


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/api/v1/pods", "pods"),
        ("/api/v1/namespaces/ml/pods/digits-0-0", "pods"),
        ("/api/v1/namespaces/ml/pods/digits-0-0/log", "pods/log"),
        ("/api/v1/nodes/one", "nodes"),
        ("/api/v1/namespaces", "namespaces"),
        ("/apis/rdzv.dev/v1alpha1/namespaces/ml/elasticjobs/digits/status", "elasticjobs/status"),
        ("/apis/coordination.k8s.io/v1/namespaces/ml/leases/operator", "leases"),
        ("/apis/rdzv.dev/v1alpha1", "discovery"),
        ("/apis", "discovery"),
    ],
)
def test_a_call_is_counted_by_what_it_is_about_and_never_by_a_name(path, resource):
    assert metrics.resource(path) == resource


def value(name, **labels):
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


def a_status(*rounds, **restarts):
    told = [
        api.RoundRecord(round=n, cause=cause, reason="", workers=2, seconds=0.5, formed_at="")
        for n, cause in rounds
    ]
    rendezvous = api.RendezvousStatus(round=rounds[-1][0] if rounds else 0, history=tuple(told))
    return api.ElasticJobStatus(rendezvous=rendezvous, restarts=api.Restarts(**restarts))


def test_a_round_is_counted_once_by_its_cause():
    before = value("elasticjob_rounds_total", cause="lost")
    one, two = a_status((1, "start")), a_status((1, "start"), (2, "lost"))
    metrics.count_news(one, two)
    metrics.count_news(two, two)
    assert value("elasticjob_rounds_total", cause="lost") == before + 1


def test_restarts_are_counted_by_class_and_never_backwards():
    before = value("elasticjob_restarts_total", **{"class": "infrastructure"})
    metrics.count_news(a_status(infrastructure=1), a_status(infrastructure=3))
    metrics.count_news(a_status(infrastructure=3), a_status())
    assert value("elasticjob_restarts_total", **{"class": "infrastructure"}) == before + 2


def test_the_fleet_is_one_sum_over_all_jobs():
    ended = {"phase": "Complete", "completionTime": "now", "replicas": 9}
    running = {"phase": "Running", "replicas": 3, "active": 2, "ready": 2}
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for metric in gauges.fleet([ended, running, running, {}])
        for sample in metric.samples
    }
    assert found["elasticjob_jobs", "Running"] == 2
    assert found["elasticjob_jobs", "Complete"] == 1
    assert found["elasticjob_jobs", "Pending"] == 1
    assert found["elasticjob_workers", "there"] == 6
    assert found["elasticjob_workers", "in_round"] == 4
