"""Reading pods: what the operator keeps of them, and on whose account they ended."""

import builders
import pytest

from elasticjob_operator import api, book, endings, pod_facts, pod_status, store_facts


def body(status=None, *, deleting=False, labels=None, spec=None):
    metadata = {
        "name": "digits-1-2",
        "namespace": "ml",
        "uid": "u1",
        "creationTimestamp": "2026-11-23T12:00:00Z",
        "labels": {"rdzv.dev/index": "1", "rdzv.dev/attempt": "2", **(labels or {})},
        "annotations": {"kubectl.kubernetes.io/default-container": "trainer"},
        "ownerReferences": [{"uid": "job", "controller": True}, {"uid": "other"}],
    }
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-23T12:01:00Z"
    return {"metadata": metadata, "spec": spec or {}, "status": status or {}}


def ended(code, **more):
    state = {"terminated": {"exitCode": code, "reason": "Error", **more}}
    return {
        "phase": "Failed" if code else "Succeeded",
        "containerStatuses": [
            {"name": "logs", "state": {"running": {}}},
            {"name": "trainer", "state": state},
        ],
    }


def ending(status, **more):
    return endings.classify(pod_facts.worker_pod(body(status, **more)))


def test_index_attempt_and_owner_are_read():
    pod = pod_facts.worker_pod(body())
    assert (pod.index, pod.attempt, pod.job_uid) == (1, 2, "job")


@pytest.mark.parametrize(
    ("labels", "is_one"),
    [
        ({}, True),
        ({"rdzv.dev/index": "9998", "rdzv.dev/attempt": "999999999"}, True),
        ({"rdzv.dev/role": "store"}, False),
        ({"rdzv.dev/index": "9999"}, False),
        ({"rdzv.dev/index": "x"}, False),
        ({"rdzv.dev/index": ""}, False),
        ({"rdzv.dev/index": "\N{SUPERSCRIPT TWO}"}, False),
        ({"rdzv.dev/attempt": "1" * 63}, False),
    ],
    ids=str,
)
def test_a_worker_is_known_by_its_labels(labels, is_one):
    own = {"rdzv.dev/job": "digits", "rdzv.dev/role": "worker"}
    assert pod_facts.is_worker(body(labels={**own, **labels})) == is_one


def test_a_pod_without_labels_is_no_worker():
    assert not pod_facts.is_worker({"metadata": {"name": "p"}})


@pytest.mark.parametrize(
    ("index", "attempt", "possible"),
    [(0, 0, True), (0, 2, True), (0, 101, True), (0, 102, False), (7, 99, True), (7, 100, False)],
)
def test_attempts_are_given_out_one_after_the_other(index, attempt, possible):
    """What says otherwise is no pod of an operator's, and would fill the book."""
    attempts = api.Attempts(created=(2,), ended=(1,))
    assert book.is_possible(attempts, builders.a_pod(index, attempt)) == possible


def test_the_training_containers_exit_decides_and_not_the_pods_phase():
    status = {**ended(0), "phase": "Running"}
    pod = pod_facts.worker_pod(body(status))
    assert pod.succeeded
    assert not pod.gone


def test_a_sidecars_exit_means_nothing():
    status = {
        "phase": "Running",
        "containerStatuses": [
            {"name": "logs", "state": {"terminated": {"exitCode": 1}}},
            {"name": "trainer", "state": {"running": {"startedAt": "2026-11-23T12:00:00Z"}}},
        ],
    }
    assert pod_facts.worker_pod(body(status)).running


@pytest.mark.parametrize(
    ("status", "account", "reason"),
    [
        (ended(0), "success", "Completed"),
        (ended(1), "own", "Error"),
        (ended(137), "infrastructure", "Killed"),
        (ended(143), "infrastructure", "Killed"),
        (ended(1, signal=15), "infrastructure", "Killed"),
        (ended(137, reason="OOMKilled"), "infrastructure", "OOMKilled"),
        (ended(1, reason="OOMKilled"), "infrastructure", "OOMKilled"),
        (ended(128, reason="StartError"), "own", "StartError"),
        (ended(139), "own", "Error"),
        ({"phase": "Failed", "reason": "Evicted"}, "infrastructure", "Disrupted"),
        ({"phase": "Failed", "reason": "OutOfcpu"}, "infrastructure", "OutOfcpu"),
        (
            {
                **ended(1),
                "conditions": [
                    {
                        "type": "DisruptionTarget",
                        "status": "True",
                        "reason": "PreemptionByScheduler",
                    }
                ],
            },
            "infrastructure",
            "Disrupted",
        ),
        (
            {
                "phase": "Failed",
                "initContainerStatuses": [
                    {"name": "fetch", "state": {"terminated": {"exitCode": 2}}}
                ],
            },
            "own",
            "InitContainerFailed",
        ),
    ],
)
def test_on_whose_account_a_pod_ended(status, account, reason):
    found = ending(status)
    assert (found.account, found.reason) == (account, reason)


def test_a_pod_that_is_deleted_fails_on_nobodys_account_whatever_its_exit_code():
    """torchrun ends with 1 when it is told to stop."""
    assert ending(ended(1), deleting=True).account == "infrastructure"


def test_of_what_a_failed_container_wrote_the_line_that_says_why_is_quoted():
    found = ending(ended(1, message="epoch 1\nValueError: bad\nbye\n"))
    assert found.message == "failed with exit code 1: ValueError: bad"


def test_the_scheduler_is_quoted():
    status = {
        "conditions": [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "0/1 nodes",
            }
        ]
    }
    assert pod_facts.worker_pod(body(status)).unschedulable == "0/1 nodes"


@pytest.mark.parametrize("where", ["containerStatuses", "initContainerStatuses"])
def test_a_container_that_cannot_start_is_trouble_in_the_kubelets_words(where):
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
    status = {where: [{"name": "trainer", "image": "t:1", "state": {"waiting": waiting}}]}
    trouble = pod_facts.worker_pod(body(status)).trouble
    assert trouble == pod_status.Trouble("trainer", "t:1", "ImagePullBackOff", waiting["message"])


def test_a_store_pod_knows_its_job_though_another_object_owns_it():
    pod = {"metadata": {"name": "s", "annotations": {"rdzv.dev/job-uid": "job"}}}
    assert store_facts.store_pod(pod).job_uid == "job"


ETCD_FATAL = (
    '{"level":"fatal","msg":"discovery failed",'
    '"error":"member b754c074952ded4d has already been bootstrapped"}'
)


@pytest.mark.parametrize(
    ("state", "last", "refusal"),
    [
        ({"running": {}}, {"terminated": {"exitCode": 1, "message": ETCD_FATAL}}, ""),
        (
            {"waiting": {"reason": "CrashLoopBackOff"}},
            {"terminated": {"exitCode": 1, "message": ETCD_FATAL}},
            "has already been bootstrapped",
        ),
        (
            {"terminated": {"exitCode": 1, "message": ETCD_FATAL}},
            {},
            "has already been bootstrapped",
        ),
        ({"terminated": {"exitCode": 0}}, {}, ""),
        ({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, {}, ""),
        ({"waiting": {"reason": "ContainerCreating"}}, {}, ""),
    ],
    ids=["tries again", "waits after it", "refused", "stopped", "killed", "new"],
)
def test_a_store_pod_tells_by_its_last_words_that_the_others_refuse_it(state, last, refusal):
    entry = {"name": "etcd", "restartCount": 1, "state": state, "lastState": last}
    pod = {"metadata": {"name": "s"}, "status": {"containerStatuses": [entry]}}
    assert store_facts.store_pod(pod).refusal == refusal


@pytest.mark.parametrize(
    ("entry", "started"),
    [
        ({"state": {"waiting": {"reason": "ContainerCreating"}}}, False),
        ({"state": {"running": {}}}, True),
        ({"restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}, True),
    ],
)
def test_a_store_pod_may_have_data_once_it_has_run(entry, started):
    pod = {"metadata": {"name": "s"}, "status": {"containerStatuses": [{"name": "etcd", **entry}]}}
    assert store_facts.store_pod(pod).started is started


@pytest.mark.parametrize(
    ("state", "ended"),
    [
        ({"running": {}}, False),
        ({"terminated": {"exitCode": 0}}, True),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, True),
    ],
    ids=["runs", "ended", "waits after it"],
)
def test_a_store_pod_whose_etcd_ended_says_so_until_it_runs_again(state, ended):
    entry = {"name": "etcd", "state": state, "lastState": {"terminated": {"exitCode": 0}}}
    pod = {"metadata": {"name": "s"}, "status": {"containerStatuses": [entry]}}
    assert store_facts.store_pod(pod).ended is ended


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (
            {"exitCode": 1, "message": "12:00 begun\nno module named torch\n"},
            "no module named torch",
        ),
        ({"exitCode": 137}, "it ends with exit code 137"),
    ],
)
def test_a_store_pod_that_ends_again_and_again_says_why(last, words):
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}
    entry = {"name": "host", "image": "i:1", "state": waiting, "lastState": {"terminated": last}}
    found = store_facts.store_pod(body({"containerStatuses": [entry]}))
    assert found.trouble == pod_status.Trouble("host", "i:1", "CrashLoopBackOff", words)
