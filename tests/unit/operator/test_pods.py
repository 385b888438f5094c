"""What a worker's pod is made of."""

import builders
import pytest

from elasticjob_operator import api, pods, provisioning
from elasticjob_operator.settings import Settings

SETTINGS = Settings(client_image="client:1", etcd_image="etcd:1")


def worker(job, index=1, attempt=2):
    return pods.worker(job, index, attempt, SETTINGS)


def container(pod, name="trainer"):
    return next(c for c in pod["spec"]["containers"] if c["name"] == name)


def environment(pod, name="trainer"):
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container(pod, name)["env"]}


def template(*containers, **spec):
    return {"spec": {"containers": list(containers), **spec}}


TRAINER = {"name": "trainer", "image": "trainer:1", "command": ["torchrun", "train.py"]}


def test_the_name_tells_index_and_attempt_and_the_job_owns_it():
    metadata = worker(builders.a_job())["metadata"]
    assert metadata["name"] == "digits-1-2"
    assert metadata["labels"]["rdzv.dev/index"] == "1"
    assert metadata["labels"]["rdzv.dev/attempt"] == "2"
    owner = metadata["ownerReferences"][0]
    assert (owner["uid"], owner["controller"]) == (builders.JOB_UID, True)


def test_a_job_that_has_its_own_client_keeps_it():
    own = api.ElasticJobStatus(client_image="client:0")
    for status, image in ((None, "client:1"), (own, "client:0")):
        init = worker(builders.a_job(status=status))["spec"]["initContainers"][0]
        assert (init["name"], init["image"]) == ("rdzv-client", image)


@pytest.mark.parametrize("given", [{}, {"terminationMessagePath": "/tmp/end"}], ids=str)
def test_the_client_is_told_where_kubernetes_reads_last_words(given):
    job = builders.a_job(template=template({**TRAINER, **given}))
    path = given.get("terminationMessagePath", "/dev/termination-log")
    assert environment(worker(job))["RDZV_TERMINATION_LOG"] == path
    assert container(worker(job))["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_torchrun_gets_its_options_from_the_environment():
    got = environment(worker(builders.a_job(nproc_per_node=2)))
    assert got["PET_RDZV_BACKEND"] == "k8s"
    assert got["PET_RDZV_ENDPOINT"] == "etcds://digits-rdzv.ml.svc:2379"
    assert got["PET_RDZV_ID"] == builders.RUN_ID
    assert got["PET_NNODES"] == "2:4"
    assert got["PET_NPROC_PER_NODE"] == "2"
    assert got["TORCH_ELASTIC_WORKER_IDENTICAL"] == "1"
    assert got["PET_RDZV_CONF"].startswith("join_timeout=600,last_call_timeout=30,")
    assert got["PET_LOCAL_ADDR"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    assert got["RDZV_POD_UID"] == {"fieldRef": {"fieldPath": "metadata.uid"}}
    assert got["RDZV_SLOT"] == "1"


def test_agents_with_different_numbers_of_processes_ask_each_other():
    assert "TORCH_ELASTIC_WORKER_IDENTICAL" not in environment(worker(builders.a_job()))


@pytest.mark.parametrize(("grace_s", "stop_s"), [(None, "20"), (120, "110"), (5, "1")])
def test_workers_are_stopped_before_the_kubelet_stops_torchrun(grace_s, stop_s):
    spec = {} if grace_s is None else {"terminationGracePeriodSeconds": grace_s}
    job = builders.a_job(template=template(dict(TRAINER), **spec))
    assert environment(worker(job))["PET_SHUTDOWN_TIMEOUT"] == stop_s


def test_only_the_training_container_is_changed():
    sidecar = {"name": "logs", "image": "logs:1"}
    job = builders.a_job(
        template=template(sidecar, TRAINER), training_container="trainer", nproc_per_node=1
    )
    made = worker(job)
    assert container(made, "logs") == sidecar
    assert environment(made)["PET_RDZV_BACKEND"] == "k8s"
    assert made["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] == "trainer"


def test_the_first_container_trains_unless_another_is_named():
    job = builders.a_job(template=template({"name": "first", "image": "a"}, TRAINER))
    assert "PET_RDZV_ID" in environment(worker(job), "first")
    assert "env" not in container(worker(job), "trainer")


def test_the_command_is_left_alone():
    assert container(worker(builders.a_job(template=template(TRAINER))))["command"] == [
        "torchrun",
        "train.py",
    ]


def test_an_init_container_brings_the_client():
    made = worker(builders.a_job())
    init = made["spec"]["initContainers"][0]
    assert init["image"] == "client:1"
    assert init["resources"]["requests"] == init["resources"]["limits"], "Guaranteed stays so"
    mount = container(made)["volumeMounts"][0]
    assert mount == {"name": "rdzv-client", "mountPath": "/rdzv_client.d", "readOnly": True}
    assert environment(made)["PYTHONPATH"] == "/rdzv_client.d"


def test_the_templates_own_python_path_comes_behind_the_client():
    trainer = {**TRAINER, "env": [{"name": "PYTHONPATH", "value": "/mine"}]}
    got = environment(worker(builders.a_job(template=template(trainer))))
    assert got["PYTHONPATH"] == "/rdzv_client.d:$(RDZV_TEMPLATE_PYTHONPATH)"
    assert got["RDZV_TEMPLATE_PYTHONPATH"] == "/mine"


def test_an_image_that_has_the_client_is_left_without_ours():
    made = worker(builders.a_job(client_injection="None"))
    assert "initContainers" not in made["spec"]
    assert "PYTHONPATH" not in environment(made)


def test_what_the_template_sets_itself_stays_unless_it_is_ours():
    trainer = {
        **TRAINER,
        "env": [{"name": "A", "value": "1"}, {"name": "PET_NNODES", "value": "9"}],
    }
    got = environment(worker(builders.a_job(template=template(trainer))))
    assert (got["A"], got["PET_NNODES"]) == ("1", "2:4")


def test_pods_never_restart_in_place_and_have_no_rights():
    spec = worker(builders.a_job())["spec"]
    assert spec["restartPolicy"] == "Never"
    assert spec["serviceAccountName"] == "digits-worker"
    assert spec["automountServiceAccountToken"] is False


def test_a_service_account_of_the_template_is_left_as_it_is():
    job = builders.a_job(template=template(TRAINER, serviceAccountName="mine"))
    spec = worker(job)["spec"]
    assert spec["serviceAccountName"] == "mine"
    assert "automountServiceAccountToken" not in spec


def test_a_lost_node_is_given_up_after_half_a_minute():
    tolerations = worker(builders.a_job())["spec"]["tolerations"]
    assert {t["tolerationSeconds"] for t in tolerations} == {30}


def test_workers_meet_in_an_external_etcd_when_one_is_given():
    rendezvous = {"etcd": {"endpoints": ["http://a:2379", "http://b:2379"]}}
    got = environment(worker(builders.a_job(rendezvous=rendezvous)))
    assert got["PET_RDZV_ENDPOINT"] == "etcd://a:2379;b:2379"


def test_making_a_pod_does_not_change_the_job():
    job = builders.a_job()
    before = job.model_dump()
    worker(job)
    assert job.model_dump() == before


# --- what users may write --------------------------------------------------------------------

HOSTILE = "$(reboot); `reboot` && reboot"


@pytest.mark.parametrize("rendezvous", [{}, {"backend": "c10d"}, {"etcd": {"members": 3}}], ids=str)
def test_all_that_is_made_stays_in_the_jobs_namespace_and_nothing_of_the_users_is_run(rendezvous):
    """But for the training container, which runs what the user says."""
    trainer = {"name": "trainer", "image": HOSTILE, "env": [{"name": "A", "value": HOSTILE}]}
    elsewhere = {
        "namespace": "kube-system",
        "name": HOSTILE,
        "ownerReferences": [{"uid": HOSTILE}],
        "labels": {"rdzv.dev/job": HOSTILE, "rdzv.dev/role": "store", "own": HOSTILE},
        "annotations": {"own": HOSTILE, "rdzv.dev/blueprint": HOSTILE},
    }
    template = {"metadata": elsewhere, "spec": {"containers": [trainer]}}
    job = builders.a_job(template=template, rendezvous=rendezvous, topology_key="own/key")
    worker = pods.worker(job, 0, 0, Settings())
    made = [worker, *provisioning.manifests(job, Settings(operator_namespace="system"))]
    assert {one["metadata"]["namespace"] for one in made} == {"ml"}
    assert {one["metadata"]["ownerReferences"][0]["uid"] for one in made} == {builders.JOB_UID}
    assert worker["metadata"]["labels"]["rdzv.dev/job"] == "digits"
    assert worker["metadata"]["labels"]["rdzv.dev/role"] == "worker"
    assert worker["metadata"]["annotations"]["rdzv.dev/blueprint"] != HOSTILE
    stores = [one["spec"]["template"]["spec"] for one in made if one["kind"] == "StatefulSet"]
    run = [c for spec in (worker["spec"], *stores) for c in _containers(spec)]
    ours = [container for container in run if container["name"] != "trainer"]
    assert len(ours) >= 2
    for one in ours:
        words = [*one.get("command", ()), *one.get("args", ())]
        assert not {"sh", "bash", "-c"} & {word.rsplit("/", 1)[-1] for word in words}
        assert "reboot" not in " ".join(words)


def _containers(spec):
    return [*spec.get("initContainers", ()), *spec["containers"]]
