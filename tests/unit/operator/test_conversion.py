"""Jobs of other operators as ElasticJobs, and what is said about what they lack."""

import pytest
import yaml

from elasticjob_operator import conversion

TORCHRUN = ["torchrun", "train.py"]


def pod(*containers, name="pytorch", command=TORCHRUN, **spec):
    trainer = {"name": name, "image": "trainer:1", "command": command}
    return {"spec": {"containers": [*containers, trainer], **spec}}


def pytorchjob(name="digits", *, master=None, worker=None, **spec):
    roles = {
        kind: {"replicas": 1, "template": pod(), **role}
        for kind, role in (("Master", master), ("Worker", worker))
        if role is not None
    }
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": name},
        "spec": {"pytorchReplicaSpecs": roles, **spec},
    }


def old_elasticjob(*, worker=None, **spec):
    role = {"template": pod(name="elasticjob-worker"), **(worker or {})}
    return {
        "apiVersion": "elastic.pytorch.org/v1alpha1",
        "kind": "ElasticJob",
        "metadata": {"name": "imagenet"},
        "spec": {"rdzvEndpoint": "etcd:2379", "replicaSpecs": {"Worker": role}, **spec},
    }


def trainjob(*, trainer=None, **spec):
    given = {"image": "trainer:1", "command": TORCHRUN, "numNodes": 2}
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": "llm"},
        "spec": {
            "runtimeRef": {"name": "torch-distributed"},
            "trainer": {**given, **(trainer or {})},
            **spec,
        },
    }


def spec_of(manifest):
    return conversion.convert(manifest).manifest["spec"]


def notes_of(manifest):
    return {note.path: note.words for note in conversion.convert(manifest).notes}


def sizes(spec):
    return spec["minReplicas"], spec["replicas"], spec["maxReplicas"]


ELASTIC = {"minReplicas": 1, "maxReplicas": 4}


# --- PyTorchJob --------------------------------------------------------------------------------


def test_a_pytorchjob_whole():
    given = pytorchjob(
        worker={"replicas": 2, "restartPolicy": "OnFailure"},
        nprocPerNode="8",
        elasticPolicy={**ELASTIC, "maxRestarts": 5},
        runPolicy={"cleanPodPolicy": "All", "ttlSecondsAfterFinished": 60, "suspend": True},
    )
    given["metadata"] |= {"namespace": "ml", "labels": {"team": "a"}, "uid": "1"}
    converted = conversion.convert(given)
    assert converted.manifest == {
        "apiVersion": "rdzv.dev/v1alpha1",
        "kind": "ElasticJob",
        "metadata": {"name": "digits", "namespace": "ml", "labels": {"team": "a"}},
        "spec": {
            "minReplicas": 1,
            "maxReplicas": 4,
            "replicas": 2,
            "nprocPerNode": 8,
            "maxRestarts": 5,
            "runPolicy": {
                "suspend": True,
                "ttlSecondsAfterFinished": 60,
                "cleanPodPolicy": "All",
            },
            "template": pod(),
        },
    }
    assert converted.notes == ()


@pytest.mark.parametrize(
    ("elastic", "replicas", "converted"),
    [
        ({"minReplicas": 1, "maxReplicas": 4}, 2, (1, 2, 4)),
        ({"minReplicas": 2}, 2, (2, 2, 2)),
        ({"maxReplicas": 4}, 4, (4, 4, 4)),
        ({"minReplicas": 2, "maxReplicas": 4}, 1, (2, 2, 4)),
        ({"minReplicas": 2, "maxReplicas": 4}, 8, (2, 4, 4)),
        ({}, 3, (3, 3, 3)),
    ],
)
def test_the_size_of_a_pytorchjob(elastic, replicas, converted):
    assert sizes(spec_of(pytorchjob(worker={"replicas": replicas}, elasticPolicy=elastic))) == (
        converted
    )


def test_a_job_without_bounds_is_told_how_to_be_elastic():
    words = "sets no bounds: lower minReplicas to have training go on after a loss"
    assert notes_of(pytorchjob(worker={"replicas": 3})) == {"spec.elasticPolicy": words}


def test_replicas_beyond_the_bounds_are_told():
    notes = notes_of(pytorchjob(worker={"replicas": 9}, elasticPolicy=ELASTIC))
    assert notes["spec.elasticPolicy"] == "has replicas (9) beyond its bounds: 4 is taken"


def test_metrics_have_the_operator_make_an_autoscaler():
    metric = {"type": "Resource", "resource": {"name": "cpu"}}
    given = pytorchjob(worker={"replicas": 2}, elasticPolicy={**ELASTIC, "metrics": [metric]})
    assert spec_of(given)["autoscaling"] == {"metrics": [metric]}
    assert notes_of(given) == {}


def test_the_master_is_one_more_worker():
    given = pytorchjob(master={}, worker={"replicas": 3})
    assert sizes(spec_of(given)) == (4, 4, 4)
    words = notes_of(given)["spec.pytorchReplicaSpecs.Master"]
    assert words == "is a worker like the others, of which any may have rank 0"
    assert sizes(spec_of(pytorchjob(master={}))) == (1, 1, 1)


def test_where_the_masters_template_differs_is_told():
    other = pod(nodeSelector={"disk": "ssd"})
    words = notes_of(pytorchjob(master={"template": other}, worker={}))
    assert words["spec.pytorchReplicaSpecs.Master"].endswith("differs in spec.nodeSelector")


def test_the_container_that_trains_is_known_by_its_name():
    sidecar = {"name": "sidecar", "image": "sidecar:1"}
    spec = spec_of(pytorchjob(worker={"template": pod(sidecar)}))
    assert spec["trainingContainer"] == "pytorch"
    assert spec["template"]["spec"]["containers"][0] == sidecar


@pytest.mark.parametrize(
    ("command", "given", "nproc"),
    [
        (TORCHRUN, {}, None),
        (TORCHRUN, {"nprocPerNode": "gpu"}, "gpu"),
        (["torchrun", "--nproc-per-node=2", "train.py"], {"nprocPerNode": "8"}, 2),
        (["python", "train.py"], {"nprocPerNode": "8"}, 1),
        (TORCHRUN, {"elasticPolicy": {"nProcPerNode": 4}}, 4),
    ],
)
def test_the_processes_of_a_worker(command, given, nproc):
    worker = {"template": pod(command=command)}
    assert spec_of(pytorchjob(worker=worker, **given)).get("nprocPerNode") == nproc


@pytest.mark.parametrize(
    ("agents", "pods", "policy", "most"),
    [
        (None, None, "OnFailure", None),
        (3, None, "OnFailure", 3),
        (None, 6, "Always", 6),
        (3, 6, "OnFailure", 6),
        (None, 6, "Never", 0),
        (2, 6, "Never", 2),
    ],
)
def test_how_often_a_job_may_fail(agents, pods, policy, most):
    given = pytorchjob(
        worker={"restartPolicy": policy},
        elasticPolicy={"maxRestarts": agents},
        runPolicy={"backoffLimit": pods},
    )
    assert spec_of(given).get("maxRestarts") == most


def test_exit_codes_of_permanent_errors_fail_the_job():
    [rule] = spec_of(pytorchjob(worker={"restartPolicy": "ExitCode"}))["failurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"] == {"operator": "In", "values": [*range(1, 128)]}


def test_where_torchrun_restarts_itself_no_exit_code_is_permanent():
    given = pytorchjob(worker={"restartPolicy": "ExitCode"}, elasticPolicy={"maxRestarts": 2})
    assert "failurePolicy" not in spec_of(given)
    assert (
        "exit codes below 128 are restarted, too, up to maxRestarts (2)"
        in (notes_of(given)["spec.pytorchReplicaSpecs.Worker.restartPolicy"])
    )


def test_where_to_meet_is_the_operators():
    elastic = {
        **ELASTIC,
        "rdzvBackend": "etcd",
        "rdzvHost": "etcd",
        "rdzvPort": 2379,
        "rdzvId": "a",
    }
    given = pytorchjob(worker={}, elasticPolicy=elastic)
    assert "rendezvous" not in spec_of(given)
    assert {path.rpartition(".")[2] for path in notes_of(given)} == {
        *("rdzvBackend", "rdzvHost", "rdzvPort", "rdzvId")
    }


def test_times_of_the_rendezvous_are_carried_over():
    conf = [
        {"key": "join_timeout", "value": "900"},
        {"key": "last_call_timeout", "value": "60"},
        {"key": "read_timeout", "value": "10"},
    ]
    given = pytorchjob(worker={}, elasticPolicy={**ELASTIC, "rdzvConf": conf})
    assert spec_of(given)["rendezvous"] == {"joinTimeoutSeconds": 900, "lastCallSeconds": 60}
    words = "is left out: spec.rendezvous has nothing like read_timeout=10"
    assert notes_of(given)["spec.elasticPolicy.rdzvConf[2].key"] == words


@pytest.mark.parametrize(
    ("scheduler", "gang"),
    [
        ("volcano", {"scheduler": "Volcano", "queue": "research"}),
        ("scheduler-plugins-scheduler", {"scheduler": "Coscheduling"}),
        (None, None),
    ],
)
def test_a_gang_is_carried_over_where_its_scheduler_is_known(scheduler, gang):
    template = pod(**({"schedulerName": scheduler} if scheduler else {}))
    policy = {"schedulingPolicy": {"queue": "research", "minAvailable": 1}}
    given = pytorchjob(worker={"template": template}, runPolicy=policy)
    assert spec_of(given).get("gangScheduling") == gang
    path = "spec.runPolicy.schedulingPolicy"
    assert (path in notes_of(given)) == (gang is None)


@pytest.mark.parametrize(
    ("manager", "converted"),
    [
        ("kubeflow.org/training-operator", None),
        ("kueue.x-k8s.io/multikueue", "kueue.x-k8s.io/multikueue"),
    ],
)
def test_who_manages_the_job(manager, converted):
    given = pytorchjob(worker={}, runPolicy={"managedBy": manager})
    assert spec_of(given).get("managedBy") == converted


def test_the_arguments_of_an_images_own_program_stay():
    template = pod()
    container = template["spec"]["containers"][0]
    del container["command"]
    container["args"] = ["train.py"]
    given = pytorchjob(worker={"template": template}, elasticPolicy=ELASTIC)
    assert spec_of(given)["template"] == template
    path = "spec.pytorchReplicaSpecs.Worker.template.spec.containers[0].command"
    assert notes_of(given)[path].startswith("is the image's: it must run torchrun")


def test_variables_that_torchrun_would_believe_are_left_out():
    template = pod()
    env = [{"name": "PET_STANDALONE", "value": ""}, {"name": "LR", "value": "1"}]
    template["spec"]["containers"][0]["env"] = env
    given = pytorchjob(worker={"template": template})
    [container] = spec_of(given)["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "LR", "value": "1"}]
    path = "spec.pytorchReplicaSpecs.Worker.template.spec.containers[0].env[0]"
    assert "torchrun would believe PET_STANDALONE" in notes_of(given)[path]


def test_what_nobody_knows_is_told_with_its_path():
    given = pytorchjob(worker={"replica": 3}, elasticPolicy=ELASTIC, successPolicy="All")
    assert notes_of(given) == {
        "spec.successPolicy": "is left out: nothing here knows it",
        "spec.pytorchReplicaSpecs.Worker.replica": "is left out: nothing here knows it",
    }


def test_a_label_for_kueue_is_told():
    given = pytorchjob(worker={}, elasticPolicy=ELASTIC)
    given["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "team"}
    assert "Kueue does not manage" in notes_of(given)["metadata.labels[kueue.x-k8s.io/queue-name]"]


def test_what_was_given_is_left_as_it_was():
    given = pytorchjob(worker={"template": pod(restartPolicy="OnFailure")}, elasticPolicy=ELASTIC)
    before = yaml.safe_dump(given)
    assert "restartPolicy" not in spec_of(given)["template"]["spec"]
    assert yaml.safe_dump(given) == before


# --- pytorch/elastic's ElasticJob --------------------------------------------------------------


def test_an_elasticjob_of_pytorch_elastic():
    template = pod(name="elasticjob-worker")
    trainer = template["spec"]["containers"][0]
    del trainer["command"]
    trainer["args"] = ["--nproc_per_node=1", "/workspace/main.py", "--epochs=20"]
    stray = {"apiVersion": "v1", "kind": "Pod", **template}
    worker = {"replicas": 2, "restartPolicy": "ExitCode", "template": stray}
    given = old_elasticjob(worker=worker, minReplicas=1, maxReplicas=2, backoffLimit=4)
    spec = spec_of(given)
    assert sizes(spec) == (1, 2, 2)
    assert (spec["nprocPerNode"], spec["maxRestarts"]) == (1, 4)
    assert spec["runPolicy"] == {"cleanPodPolicy": "None"}
    assert list(spec["template"]) == ["spec"]
    [container] = spec["template"]["spec"]["containers"]
    assert container["command"] == ["torchrun", "/workspace/main.py", "--epochs=20"]
    assert "args" not in container
    assert "the operator runs the store" in notes_of(given)["spec.rdzvEndpoint"]


def test_an_elasticjob_without_bounds_has_those_of_its_replicas():
    assert sizes(spec_of(old_elasticjob(worker={"replicas": 3}))) == (3, 3, 3)


# --- TrainJob ----------------------------------------------------------------------------------


def test_a_trainjob_that_says_what_its_nodes_run():
    given = trainjob(
        trainer={
            "args": ["--lr=1"],
            "numProcPerNode": 4,
            "resourcesPerNode": {"limits": {"nvidia.com/gpu": 4}},
        },
        suspend=True,
        managedBy="trainer.kubeflow.org/trainjob-controller",
    )
    spec = spec_of(given)
    assert sizes(spec) == (2, 2, 2)
    assert (spec["nprocPerNode"], spec["runPolicy"]) == (4, {"suspend": True})
    assert spec["template"]["spec"]["containers"] == [
        {
            "name": "node",
            "image": "trainer:1",
            "command": [*TORCHRUN, "--lr=1"],
            "resources": {"limits": {"nvidia.com/gpu": 4}},
        }
    ]
    words = "is left out: what the runtime torch-distributed says is not carried over"
    assert notes_of(given)["spec.runtimeRef"] == words


@pytest.mark.parametrize("missing", ["image", "command"])
def test_a_trainjob_that_leaves_it_to_its_runtime_is_refused(missing):
    words = f"spec.trainer.{missing} is not given: it stands in the runtime torch-distributed"
    with pytest.raises(conversion.NotConvertible, match=words):
        conversion.convert(trainjob(trainer={missing: None}))


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (
            {"apiVersion": "v1", "kind": "ConfigMap"},
            r"ConfigMap \(v1\) cannot be converted; what can: PyTorchJob \(kubeflow.org/v1\), ",
        ),
        ("digits", "a job must be an object, and is 'digits'"),
        (pytorchjob("Digits.1", worker={}), "metadata.name must be at most 47 .* is 'Digits.1'"),
        (pytorchjob("d" * 48, worker={}), "metadata.name must be at most 47"),
        (pytorchjob(), "spec.pytorchReplicaSpecs has neither a Worker nor a Master"),
        (
            pytorchjob(worker={"template": {}}),
            r"spec.pytorchReplicaSpecs.Worker.template.spec is missing",
        ),
        (
            pytorchjob(worker={"replicas": "2"}),
            "spec.pytorchReplicaSpecs.Worker.replicas must be a number from 0 on, and is '2'",
        ),
        (
            pytorchjob(worker={"restartPolicy": "Sometimes"}),
            "Worker.restartPolicy must be one of Always, .* and is 'Sometimes'",
        ),
        (
            pytorchjob(worker={}, elasticPolicy={"minReplicas": 4, "maxReplicas": 2}),
            "spec.elasticPolicy must have 1 <= minReplicas <= maxReplicas, not 4 and 2",
        ),
        (pytorchjob(worker={}, nprocPerNode="many"), "nprocPerNode must be a number .* 'many'"),
        (pytorchjob(worker={}, runPolicy=[]), r"spec.runPolicy must be an object, and is \[\]"),
    ],
)
def test_what_cannot_be_converted_is_refused_with_its_path(manifest, words):
    with pytest.raises(conversion.NotConvertible, match=words):
        conversion.convert(manifest)


@pytest.mark.parametrize("text", ["", "---\n---\n"])
def test_a_file_without_a_job(text):
    with pytest.raises(conversion.NotConvertible, match="there is no job in it"):
        conversion.read(text)


def test_a_file_that_is_no_yaml():
    with pytest.raises(conversion.NotConvertible, match="this is not YAML: "):
        conversion.read("a: [")


def test_documents_and_lists_are_read_one_by_one():
    text = "kind: A\n---\nkind: List\nitems: [{kind: B}, {kind: C}]\n"
    assert [document["kind"] for document in conversion.read(text)] == ["A", "B", "C"]
