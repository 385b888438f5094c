"""Everything that can end a worker, made to happen, and what the status says of it."""

import itertools
import json
from contextlib import contextmanager
from datetime import datetime

CONTROLLED = """
import itertools, json, os, pathlib, signal, time
from torch.distributed.elastic.multiprocessing.errors import record

ORDER = pathlib.Path("/tmp/order")

@record
def main():
    print("ready", flush=True)
    said = pathlib.Path(os.environ["ELASTICJOB_PROGRESS_DIR"], "new")
    for step in itertools.count():
        said.write_text(json.dumps({"step": step, "metrics": {"loss": 0.5}}))
        said.replace(said.with_suffix(".json"))
        if ORDER.exists():
            break
        time.sleep(0.1)
    kind, number = ORDER.read_text().split()
    ORDER.unlink()
    if kind == "hang":
        time.sleep(int(number))
    if kind == "signal":
        os.kill(os.getpid(), int(number))
    if kind == "exit":
        os._exit(int(number))
    raise ValueError(f"the learning rate is {number}")

main()
"""

# The name of the pod, which has its attempt, says how it ends.
ONE_END_EACH = r"""
case $HOSTNAME in
  *-0-0) echo "this one is ignored"; exit 3;;
  *-0-1) exec python3 -c 'x = bytearray(2**30); x[:] = b"1" * 2**30';;
  *-0-2) echo "Segmentation fault"; exit 139;;
  *-0-3) exit 137;;
  *-0-4) echo "ValueError: hopeless"; exit 42;;
esac
"""


IGNORED = (
    "pod digits-0-0 failed with exit code 3: this one is ignored; failurePolicy says to ignore it"
)


def exit_codes(action, *values):
    return {"action": action, "onExitCodes": {"operator": "In", "values": list(values)}}


@contextmanager
def lives_seen(tools):
    """When each worker pod was made, and when its container ended, as far as it was seen."""
    made, ended = {}, {}

    def see(pod):
        name = pod["metadata"]["name"]
        made[name] = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
        for container in pod["status"].get("containerStatuses", []):
            if end := container["state"].get("terminated"):
                ended[name] = datetime.fromisoformat(end["finishedAt"])

    workers = ("pods", "--selector=rdzv.dev/role=worker", "--watch", "--output=json")
    follower = tools.follow("kubectl", "get", *workers)
    follower.documents(see)
    try:
        yield made, ended
    finally:
        follower.stop()


def evict(job, pod):
    """Evict the pod as `kubectl drain` does."""
    namespace = job.tools.ask(
        "kubectl", "get", "pod", pod, "--output=jsonpath={.metadata.namespace}"
    )
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": namespace},
    }
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
    job.tools.show("kubectl", "create", f"--raw={path}", "--filename=-", stdin=json.dumps(eviction))


def limit_steps(job, seconds):
    """Have a round end in which no step is done for so long."""
    patch = json.dumps({"spec": {"failurePolicy": {"progressDeadlineSeconds": seconds}}})
    job.tools.show("kubectl", "patch", f"ej/{job.name}", "--type=merge", f"--patch={patch}")


def restarts(known):
    told = known.job.get("status", {}).get("restarts", {})
    return {kind: told.get(kind, 0) for kind in ("worker", "pod", "infrastructure", "ignored")}


def failure(known):
    return known.job["status"]["lastFailure"]


# --- a worker in a pod that lives on, and a pod that is taken away -------------------------------


class Controlled:
    """A job of two workers that do as they are told."""

    def __init__(self, job):
        self.job = job

    def members(self, without=()):
        """The two pods of the round that stands, when it does, by rank; none of ``without``."""
        known = self.job.wait(
            "a round of two",
            lambda known: stands(known, 2) and not {*without} & {pod for pod, _ in places(known)},
        )
        return places(known)

    def until_a_step_of_this_round(self):
        self.job.wait(
            "a step of the round that stands",
            lambda known: (
                known.job["status"].get("progress", {}).get("round") == rendezvous(known)["round"]
            ),
        )

    def until_one_stands_by(self):
        """Wait until there is a spare beside the two."""
        self.job.wait(
            "a spare", lambda known: stands(known, 2) and rendezvous(known).get("waiting") == 1
        )

    def order(self, pod, *words):
        text = " ".join(map(str, words))
        self.job.tools.ask("kubectl", "exec", pod, "--", "sh", "-c", f"echo {text} > /tmp/order")

    def until_counted(self, kind, count):
        what = f"{kind} failures to be {count}"
        return self.job.wait(what, lambda known: restarts(known)[kind] == count)


def rendezvous(known):
    return known.job.get("status", {}).get("rendezvous", {})


def stands(known, workers):
    told = rendezvous(known)
    return told.get("state") == "Formed" and told.get("workers") == workers


def places(known):
    """The members of the last round by rank: each pod with its node."""
    return [(member["pod"], member["node"]) for member in rendezvous(known).get("members", [])]


def test_each_failure_of_a_worker_and_each_loss_of_a_pod_is_told_as_what_it_is(run, manifest):
    policy = {"rules": [exit_codes("Ignore", 3)]}
    spec = {"minReplicas": 1, "replicas": 2, "maxReplicas": 2, "spareReplicas": 1}
    spec |= {"maxRestarts": 100}
    job = run(manifest(script=CONTROLLED, failurePolicy=policy, **spec))
    told = Controlled(job)
    (first, _), (second, _) = told.members()

    told.order(second, "raise", -1)
    known = told.until_counted("worker", 1)
    assert (failure(known)["pod"], failure(known)["rank"]) == (second, 1)
    assert (failure(known)["workerRank"], failure(known)["localRank"]) == (1, 0)
    assert failure(known)["exitCode"] == 1
    assert failure(known)["message"].endswith("ValueError: the learning rate is -1")
    assert 'raise ValueError(f"the learning rate is {number}")' in failure(known)["traceback"]

    told.members()
    told.order(first, "signal", 11)
    known = told.until_counted("worker", 2)
    assert (failure(known)["pod"], failure(known)["exitCode"]) == (first, -11)

    told.members()
    told.order(first, "exit", 3)
    told.until_counted("ignored", 1)

    told.members()
    told.until_a_step_of_this_round()
    for pod in (first, second):
        told.order(pod, "hang", 3600)
    limit_steps(job, 5)
    known = told.until_counted("worker", 3)
    limit_steps(job, None)
    assert failure(known)["reason"] == "TrainingStalled"
    assert failure(known)["message"].startswith("no step for 5 s in round ")
    assert known.job["status"]["progress"]["metrics"] == {"loss": "0.5"}

    told.until_one_stands_by()
    doomed, _ = told.members()[1]
    job.tools.show("kubectl", "delete", "pod", doomed, "--wait=false")
    told.until_counted("infrastructure", 1)

    told.members(without=[doomed])
    told.until_one_stands_by()
    evicted, _ = told.members()[1]
    evict(job, evicted)
    told.until_counted("infrastructure", 2)
    told.members(without=[evicted])
    assert {len(one.members) for one in job.known.rounds} == {2}, "a spare took each one's place"

    job.until_told("WorkerLost", f"pod {doomed} was deleted")
    taken = f"pod {evicted} was taken away (EvictionByEvictionAPI: Eviction API: evicting)"
    job.until_told("WorkerLost", taken)
    final = {"worker": 3, "pod": 0, "infrastructure": 2, "ignored": 1}
    assert restarts(job.known) == final
    assert not job.known.holds("Failed")
    job.delete()


# --- a pod that ends -----------------------------------------------------------------------------


def test_each_end_of_a_pod_is_counted_on_its_account_and_waited_for_in_turn(run, manifest, tools):
    described = manifest(
        command=["sh", "-c", ONE_END_EACH],
        minReplicas=1,
        replicas=1,
        maxReplicas=1,
        maxRestarts=100,
        failurePolicy={"rules": [exit_codes("Ignore", 3), exit_codes("FailJob", 42)]},
        runPolicy={"backoff": {"initialSeconds": 2, "maxSeconds": 4}},
    )
    container = described["spec"]["template"]["spec"]["containers"][0]
    container["resources"] = {"limits": {"memory": "128Mi"}, "requests": {"cpu": "50m"}}
    with lives_seen(tools) as (made, ended):
        job = run(described)
        known = job.wait("Failed", lambda known: known.holds("Failed"))
    assert known.condition("Failed")["reason"] == "FailurePolicy"
    words = "pod digits-0-4 failed with exit code 42: ValueError: hopeless"
    assert known.condition("Failed")["message"] == f"{words}; failurePolicy.rules[1] says FailJob"
    assert (failure(known)["exitCode"], failure(known)["message"]) == (42, words)
    assert restarts(known) == {"worker": 0, "pod": 2, "infrastructure": 2, "ignored": 1}

    ends = [e for e in job.events() if e[1] in ("WorkerFailed", "WorkerLost", "FailureIgnored")]
    # The last one is told after the status that was waited for.
    assert [(reason, message) for _, reason, message in ends][:4] == [
        ("FailureIgnored", IGNORED),
        ("WorkerLost", "pod digits-0-1 was killed for lack of memory"),
        ("WorkerFailed", "pod digits-0-2 failed with exit code 139: Segmentation fault"),
        ("WorkerLost", "pod digits-0-3 was killed (exit code 137)"),
    ]
    in_turn = itertools.pairwise(sorted(made))
    waits_s = [(made[after] - ended[pod]).total_seconds() for pod, after in in_turn]
    # Kubernetes tells whole seconds, so one may be missing.
    least_s = (2, 4, 4, 4)
    assert all(wait >= least - 1 for wait, least in zip(waits_s, least_s, strict=True)), waits_s
    kept = {"pod/digits-0-4", "pod/digits-0-3"}
    assert set(job.pods()) <= kept, "earlier ones had to go while the job went on"
    assert "hopeless" in job.tools.ask("kubectl", "logs", "digits-0-4")
