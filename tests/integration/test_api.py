"""What the API server itself takes and refuses, and in which words."""

import json
from pathlib import Path

import pytest
from builders import manifest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
CONTAINER = {"name": "trainer", "image": "trainer:1"}
SIDECAR = {"name": "sidecar", "image": "sidecar:1"}
RESTART = {"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}


def template(*containers, **spec):
    return {"spec": {"containers": list(containers), **spec}}


def exit_codes(**on):
    return {"failurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": on}]}}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"minReplicas": 5},
            "spec.minReplicas: Invalid value: minReplicas (5) must not exceed maxReplicas (4)",
        ),
        (
            {"replicas": 9},
            (
                "spec.replicas: Invalid value: replicas (9) must lie between minReplicas (2)"
                " and maxReplicas (4)"
            ),
        ),
        ({"replicas": 0}, "spec.replicas: Invalid value: 0"),
        *(
            (
                {"minReplicas": least, "maxReplicas": most, "replicaStep": 2},
                (
                    f"spec.replicaStep: Invalid value: minReplicas ({least}) and maxReplicas"
                    f" ({most}) must be multiples of replicaStep (2)"
                ),
            )
            for least, most in ((1, 4), (2, 5))
        ),
        ({"autoscaling": {"metrics": []}}, "spec.autoscaling.metrics: Invalid value: 0"),
        ({"autoscaling": {"metrics": ["cpu"]}}, "spec.autoscaling.metrics[0]: Invalid value"),
        ({"replicaStep": 0}, "spec.replicaStep: Invalid value: 0"),
        ({"spareReplicas": -1}, "spec.spareReplicas: Invalid value: -1"),
        (
            {"spareReplicas": 9996},
            (
                "spec.spareReplicas: Invalid value: maxReplicas (4) and spareReplicas (9996)"
                " together must not exceed 9999"
            ),
        ),
        ({"maxReplica": 4}, 'strict decoding error: unknown field "spec.maxReplica"'),
        ({"rendezvous": {"etc": {}}}, 'unknown field "spec.rendezvous.etc"'),
        (
            {"rendezvous": {"backend": "c10d-v2"}},
            'spec.rendezvous.backend: Unsupported value: "c10d-v2": supported values: "etcd", ',
        ),
        *(
            (
                {"rendezvous": {"backend": "c10d", "etcd": etcd}},
                "spec.rendezvous.etcd: Invalid value: endpoints, secretRef, members and ",
            )
            for etcd in (
                {"members": 3},
                {"endpoints": ["http://etcd:2379"]},
                {"storage": {"size": "1Gi"}},
            )
        ),
        ({"template": {}}, "spec.template.spec: Required value"),
        ({"template": {"spec": {}}}, "spec.template.spec.containers: Required value"),
        ({"template": template()}, "spec.template.spec.containers: Invalid value: 0"),
        (
            {"template": template({"image": "trainer:1"})},
            "spec.template.spec.containers[0].name: Required value",
        ),
        (
            {"template": template({"name": "trainer"})},
            "spec.template.spec.containers[0].image: Required value",
        ),
        (
            {"template": template(CONTAINER, CONTAINER)},
            'spec.template.spec.containers[1]: Duplicate value: {"name":"trainer"}',
        ),
        (
            {"template": template(CONTAINER, restartPolicy="OnFailure")},
            (
                'spec.template.spec.restartPolicy: Unsupported value: "OnFailure":'
                ' supported values: "Never"'
            ),
        ),
        (
            {"template": template(CONTAINER, terminationGracePeriodSeconds="30")},
            'spec.template.spec.terminationGracePeriodSeconds: Invalid value: "string": ',
        ),
        (
            {"template": template(CONTAINER, terminationGracePeriodSeconds=-1)},
            "spec.template.spec.terminationGracePeriodSeconds: Invalid value: -1",
        ),
        (
            {"template": template({**CONTAINER, "env": {"A": "b"}})},
            'unknown field "spec.template.spec.containers[0].env.A"',
        ),
        (
            {"template": template({**CONTAINER, "env": [{"value": "b"}]})},
            "spec.template.spec.containers[0].env[0].name: Required value",
        ),
        (
            {"template": template({**CONTAINER, "restartPolicy": "Always"})},
            "the training container's restartPolicy must be Never or left out",
        ),
        (
            {
                "template": template(SIDECAR, {**CONTAINER, "restartPolicyRules": [RESTART]}),
                "trainingContainer": "trainer",
            },
            "the training container's restartPolicy must be Never or left out",
        ),
        (
            {"template": template(CONTAINER, tolerations=["gpu"])},
            "spec.template.spec.tolerations[0]: Invalid value: ",
        ),
        (
            {"template": template(CONTAINER, volumes={"name": "data"})},
            'unknown field "spec.template.spec.volumes.name"',
        ),
        (
            {"rendezvous": {"etcd": {"secretRef": {"name": "etcd"}}}},
            (
                "spec.rendezvous.etcd: Invalid value: secretRef is for endpoints: for the job's own"
                " etcd the operator makes the credentials"
            ),
        ),
        (
            {"rendezvous": {"etcd": {"endpoints": ["http://a:1", "https://b:1"]}}},
            "endpoints must be either all https:// or all http://",
        ),
        (
            {"rendezvous": {"etcd": {"endpoints": ["https://user:pass@a:1"]}}},
            "spec.rendezvous.etcd.endpoints[0]: Invalid value",
        ),
        (
            {"gangScheduling": {"scheduler": "Kubernetes", "queue": "gold"}},
            "spec.gangScheduling: Invalid value: only Volcano has a queue, not Kubernetes",
        ),
        (
            {"managedBy": "multikueue"},
            (
                'spec.managedBy: Invalid value: "multikueue": must be a controller\'s'
                " domain-prefixed name, such as kueue.x-k8s.io/multikueue"
            ),
        ),
        ({"managedBy": "kueue.x-k8s.io/" + "m" * 49}, "spec.managedBy: Too long"),
        ({"topologyKey": "no label"}, 'spec.topologyKey: Invalid value: "no label": '),
        (
            {"gangScheduling": {"scheduler": "Slurm"}},
            (
                'spec.gangScheduling.scheduler: Unsupported value: "Slurm": supported values:'
                ' "Kubernetes", "Coscheduling", "Volcano"'
            ),
        ),
        (
            {"trainingContainer": "train"},
            (
                "spec.trainingContainer: Invalid value: trainingContainer must name one of"
                " template.spec.containers"
            ),
        ),
        (
            {"nprocPerNode": "two"},
            (
                'spec.nprocPerNode: Invalid value: "two": must be a number from 1 to 1024,'
                " or one of auto, gpu, cpu"
            ),
        ),
        ({"nprocPerNode": 0}, "spec.nprocPerNode: Invalid value: 0: must be a number from 1"),
        (
            {"runPolicy": {"backoff": {"initialSeconds": 60}}},
            (
                "spec.runPolicy.backoff.initialSeconds: Invalid value: initialSeconds (60) must not"
                " exceed maxSeconds (30)"
            ),
        ),
        (
            {"failurePolicy": {"rules": [{"action": "FailJob"}]}},
            (
                "spec.failurePolicy.rules[0]: Invalid value: exactly one of onExitCodes, onSignals,"
                " onReasons and onPodConditions must be given"
            ),
        ),
        (
            {"failurePolicy": {"rules": [{"action": "Retry", "onReasons": ["Error"]}]}},
            (
                'spec.failurePolicy.rules[0].action: Unsupported value: "Retry": supported values:'
                ' "Ignore", "RestartPod", "FailJob"'
            ),
        ),
        (
            exit_codes(operator="In", values=[0]),
            "spec.failurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0",
        ),
        (
            exit_codes(operator="In", values=[]),
            "spec.failurePolicy.rules[0].onExitCodes.values: Invalid value: 0",
        ),
        (
            exit_codes(values=[1]),
            "spec.failurePolicy.rules[0].onExitCodes.operator: Required value",
        ),
        (
            exit_codes(operator="In", values=[1], containerName="other"),
            (
                "spec.failurePolicy.rules: Invalid value: onExitCodes.containerName of each rule"
                " must name one of template.spec.containers"
            ),
        ),
        (
            {"failurePolicy": {"rules": [{"action": "Ignore", "onReasons": ["out of memory"]}]}},
            "spec.failurePolicy.rules[0].onReasons[0]: Invalid value",
        ),
        (
            {"failurePolicy": {"budget": {"windowSeconds": 60}}},
            "spec.failurePolicy.budget.maxRestartsPerWindow: Required value",
        ),
        (
            {"failurePolicy": {"avoidNodes": {"windowSeconds": 60}}},
            "spec.failurePolicy.avoidNodes.failures: Required value",
        ),
        (
            {"failurePolicy": {"avoidNodes": {"failures": 0}}},
            "spec.failurePolicy.avoidNodes.failures: Invalid value: 0",
        ),
        (
            {"failurePolicy": {"avoidNodes": {"failures": 2, "mode": "Never"}}},
            (
                'spec.failurePolicy.avoidNodes.mode: Unsupported value: "Never": supported values:'
                ' "Preferred", "Required"'
            ),
        ),
        (
            {"runPolicy": {"activeDeadlineSeconds": 0}},
            "spec.runPolicy.activeDeadlineSeconds: Invalid value: 0",
        ),
        ({"runPolicy": {"suspended": True}}, 'unknown field "spec.runPolicy.suspended"'),
        (
            {"rendezvous": {"etcd": {"endpoints": ["etcd:2379"]}}},
            "spec.rendezvous.etcd.endpoints[0]: Invalid value",
        ),
        (
            {"rendezvous": {"etcd": {"endpoints": ["http://fd00::9:2379"]}}},
            "spec.rendezvous.etcd.endpoints[0]: Invalid value",
        ),
        (
            {"rendezvous": {"etcd": {"members": 2}}},
            'spec.rendezvous.etcd.members: Unsupported value: 2: supported values: "1", "3"',
        ),
        (
            {"rendezvous": {"etcd": {"members": 3, "endpoints": ["http://etcd:2379"]}}},
            (
                "members and storage are for the job's own etcd, and endpoints name another one:"
                " give either"
            ),
        ),
        (
            {"rendezvous": {"etcd": {"storage": {"size": "100Mi"}}}},
            "size (100Mi) must be at least 256Mi: etcd sets room aside for its log",
        ),
        (
            {"rendezvous": {"etcd": {"storage": {"size": "large"}}}},
            "spec.rendezvous.etcd.storage.size: Invalid value",
        ),
        ({"networkPolicy": "Off"}, 'supported values: "Auto", "None"'),
    ],
)
def test_a_wrong_spec_is_refused_with_the_fields_path(kubectl, spec, words):
    assert words in kubectl.refused(manifest(**spec))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a" * 48, "the name may have at most 47 characters: longer names are made from it"),
        ("1digits", "the name must be lower-case letters, digits and hyphens, and begin with a"),
        ("my.digits", "the name must be lower-case letters, digits and hyphens, and begin with a"),
    ],
)
def test_a_name_from_which_no_pods_could_be_named_is_refused(kubectl, name, words):
    assert words in kubectl.refused(manifest(name))


def test_what_is_left_out_gets_its_default(kubectl):
    kubectl.create(manifest())
    spec = kubectl.get("elasticjob", "digits")["spec"]
    assert (spec["nprocPerNode"], spec["maxRestarts"]) == ("auto", 3)
    assert spec["rendezvous"] == {
        "backend": "etcd",
        "etcd": {"members": 1, "endpoints": []},
        "joinTimeoutSeconds": 600,
        "lastCallSeconds": 30,
        "admissionWindowSeconds": 3,
        "admissionIntervalSeconds": 0,
        "leaseSeconds": 5,
    }


def test_the_template_is_kept_whole(kubectl):
    spec = template({**CONTAINER, "resources": {"limits": {"nvidia.com/gpu": 8}}}, hostIPC=True)
    kubectl.create(manifest(template=spec))
    assert kubectl.get("elasticjob", "digits")["spec"]["template"] == spec


def test_what_runs_beside_the_training_may_be_restarted_in_place(kubectl):
    beside = {**SIDECAR, "restartPolicy": "Always", "restartPolicyRules": [RESTART]}
    kubectl.create(manifest(template=template(CONTAINER, beside)))


def test_what_the_template_leaves_empty_is_left_out(kubectl):
    """As YAML has it that was made from other YAML."""
    nothing = {"env": None, "volumeMounts": None}
    empty = {"initContainers": None, "terminationGracePeriodSeconds": None, "volumes": None}
    kubectl.create(manifest(template=template({**CONTAINER, **nothing}, **empty)))
    assert kubectl.get("ej", "digits")["spec"]["template"] == template(CONTAINER)


def test_scaling_beyond_the_bounds_is_refused(kubectl):
    kubectl.create(manifest())
    refused = kubectl.tried("scale", "elasticjob/digits", "--replicas=5")
    assert "replicas (5) must lie between minReplicas (2) and maxReplicas (4)" in refused.stderr
    kubectl("scale", "elasticjob/digits", "--replicas=4")
    assert kubectl.get("elasticjob", "digits")["spec"]["replicas"] == 4


OTHER_TEMPLATE = template({**CONTAINER, "image": "trainer:2"})
MADE_FROM = [
    ("template", OTHER_TEMPLATE),
    ("nprocPerNode", 2),
    ("clientInjection", "None"),
    ("trainingContainer", "trainer"),
    ("gangScheduling", {"scheduler": "Volcano"}),
    ("topologyKey", "example.com/rack"),
]


def edit(kubectl, **spec):
    patch = json.dumps({"spec": spec})
    return kubectl.tried("patch", "ej", "digits", "--type=merge", f"--patch={patch}").stderr


@pytest.mark.parametrize(("field", "value"), MADE_FROM)
def test_what_workers_are_made_from_is_edited_while_the_job_is_suspended(kubectl, field, value):
    kubectl.create(manifest())
    words = f"{field} cannot be changed while the job runs: it would not reach the workers that"
    assert words in edit(kubectl, **{field: value})
    assert not edit(kubectl, runPolicy={"suspend": True})
    assert not edit(kubectl, **{field: value})
    assert not edit(kubectl, runPolicy={"suspend": False})
    assert kubectl.get("ej", "digits")["spec"][field] == value


def test_a_queue_edits_the_template_as_it_resumes_and_suspends(kubectl):
    """In one request each, as Kueue does: in with the node selector of its choice, and out."""
    kubectl.create(manifest(runPolicy={"suspend": True}))
    chosen = template(CONTAINER, nodeSelector={"pool": "spot"})
    assert not edit(kubectl, template=chosen, runPolicy={"suspend": False})
    own = {"spec": {"nodeSelector": None}}
    assert "cannot be changed while the job runs" in edit(kubectl, template=own)
    assert not edit(kubectl, template=own, runPolicy={"suspend": True})
    assert "nodeSelector" not in kubectl.get("ej", "digits")["spec"]["template"]["spec"]


@pytest.mark.parametrize("suspend", [True, False])
def test_where_workers_meet_cannot_be_changed(kubectl, suspend):
    kubectl.create(manifest(runPolicy={"suspend": suspend}))
    words = "rendezvous cannot be changed: it would not reach the workers that already run"
    assert words in edit(kubectl, rendezvous={"leaseSeconds": 9})


def test_network_policies_stay_as_they_were_asked_for(kubectl):
    kubectl.create(manifest())
    assert "networkPolicy cannot be changed" in edit(kubectl, networkPolicy="None")


@pytest.mark.parametrize("suspend", [True, False])
@pytest.mark.parametrize("before", [None, "kueue.x-k8s.io/multikueue"])
@pytest.mark.parametrize("after", [None, "rdzv.dev/elasticjob-operator"])
def test_a_job_stays_with_its_controller(kubectl, before, after, suspend):
    whose = {"managedBy": before} if before else {}
    kubectl.create(manifest(runPolicy={"suspend": suspend}, **whose))
    refused = edit(kubectl, managedBy=after)
    assert ("managedBy cannot be changed: a job stays with" in refused) == (before != after)


@pytest.mark.parametrize(
    "change",
    [
        *({"minReplicas": 2}, {"maxReplicas": 5}, {"replicas": 3}, {"maxRestarts": 2}),
        {"minReplicas": 2, "replicaStep": 2},
        {"spareReplicas": 1},
        {"failurePolicy": {"noProgressRounds": 2}},
        {"runPolicy": {"activeDeadlineSeconds": 9}},
        {"runPolicy": {"failedPodsHistoryLimit": 0}},
    ],
    ids=str,
)
def test_an_edit_that_can_be_honoured_is_taken(kubectl, change):
    kubectl.create(manifest(minReplicas=1, replicas=2))
    assert not edit(kubectl, **change)


def test_a_job_that_is_over_cannot_be_changed(kubectl):
    kubectl.create(manifest())
    over = {
        "type": "Complete",
        "status": "True",
        "reason": "RoundSucceeded",
        "message": "",
        "lastTransitionTime": "2026-11-23T12:00:00Z",
    }
    kubectl.patch_status("ej", "digits", {"conditions": [over]})
    policy = {"noProgressRounds": 1}
    for change in (
        *({"replicas": 3}, {"replicaStep": 2}, {"spareReplicas": 1}),
        *({"maxRestarts": 9}, {"failurePolicy": policy}),
    ):
        assert "the job is over: delete it and create it anew" in edit(kubectl, **change)
    assert not edit(kubectl, runPolicy={"ttlSecondsAfterFinished": 60}), "it may be tidied up"


def test_every_field_can_be_explained(kubectl):
    text = kubectl("explain", "ej.spec.maxRestarts")
    assert "How often training may fail by itself" in text


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_taken(kubectl, path):
    kubectl("create", "--dry-run=server", "--validate=strict", f"--filename={path}")
