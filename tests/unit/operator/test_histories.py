"""Random histories of pods, nodes, rounds, edits and operators: what must hold whatever happens.

The histories are the same in every run; ``HYPOTHESIS_SEED`` and the like are not looked at.
"""

from __future__ import annotations

import builders
from builders import a_job
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from small_cluster import SmallCluster

from elasticjob_operator import actions, conditions, run_policy
from elasticjob_operator.autoscaling import Autoscaling
from elasticjob_operator.failure_policy import (
    AvoidNodes,
    FailureBudget,
    FailurePolicy,
    FailureRule,
    OnExitCodes,
)
from elasticjob_operator.policies import size
from elasticjob_operator.settings import Settings

IGNORED, FATAL = 3, 42
RULES = (
    FailureRule(action="Ignore", on_exit_codes=OnExitCodes(operator="In", values=(IGNORED,))),
    FailureRule(action="FailJob", on_exit_codes=OnExitCodes(operator="In", values=(FATAL,))),
)
CODES = st.sampled_from([0, 0, 1, 1, 1, IGNORED, FATAL, 137, 143])
COUNTERS = ("worker", "pod", "infrastructure", "ignored", "counted")


class Histories(RuleBasedStateMachine):
    @initialize(
        replicas=st.integers(2, 4),
        step=st.sampled_from([1, 1, 2]),
        spares=st.sampled_from([0, 0, 1, 2]),
        max_restarts=st.integers(0, 4),
        limit=st.integers(0, 3),
        per_window=st.none() | st.integers(0, 3),
        no_progress=st.none() | st.integers(1, 3),
        avoid=st.none() | st.integers(1, 3),
        runs=st.sampled_from([True, True, False]),
    )
    def begin(
        self, *, replicas, step, spares, max_restarts, limit, per_window, no_progress, avoid, runs
    ):
        budget = per_window is not None and FailureBudget(
            window_seconds=30, max_restarts_per_window=per_window
        )
        policy = FailurePolicy(
            rules=RULES,
            budget=budget or None,
            no_progress_rounds=no_progress,
            progress_seconds=5,
            avoid_nodes=AvoidNodes(failures=avoid, window_seconds=30) if avoid else None,
        )
        self.limit = limit
        self.cluster = SmallCluster(
            a_job(
                replicas=replicas,
                at_least=step,
                at_most=4,
                replica_step=step,
                spare_replicas=spares,
                max_restarts=max_restarts,
                failure_policy=policy,
                run_policy=self.run_policy(),
            )
        )
        self.before = self.status
        self.ends = dict.fromkeys(("own", "ignored", "infrastructure", "worker"), 0)
        self.certain, self.uncounted = 0, set()
        if runs:
            self.bring_up()

    def run_policy(self, **fields):
        return run_policy.RunPolicy(failed_pods_history_limit=self.limit, **fields)

    @property
    def status(self):
        return self.cluster.job.status

    def a_pod(self, data, pods):
        return data.draw(st.sampled_from(sorted(pods, key=lambda pod: pod.name)))

    # --- the operator ---

    @rule(crash=st.booleans())
    def reconcile(self, crash):
        self.before = self.status
        self.cluster.reconcile(crash=crash)
        deleted = sum(isinstance(step, actions.DeletePod) for step in self.cluster.deeds)
        self.ends["infrastructure"] += deleted if crash else 0
        if not crash:
            self.certain += len(self.uncounted) if self.goes_on else 0
            self.uncounted.clear()

    @rule()
    def look_twice(self):
        self.reconcile(crash=False)
        self.reconcile(crash=False)

    @rule(release=st.integers(1, 3))
    def upgrade(self, release):
        self.cluster.settings = Settings(client_image=f"client:{release}")

    @property
    def goes_on(self):
        """Whether it did and does, so that failures count."""
        return not {self.before.phase, self.status.phase} & {"Complete", "Failed", "Suspended"}

    # --- the user ---

    @rule(replicas=st.integers(1, 4))
    def scale(self, replicas):
        self.cluster.edit(replicas=replicas)

    @rule(most=st.integers(1, 4))
    def change_the_most(self, most):
        self.cluster.edit(max_replicas=most)

    @rule(least=st.sampled_from([1, 2]), step=st.sampled_from([1, 2]), spares=st.integers(0, 2))
    def change_the_sizes(self, least, step, spares):
        self.cluster.edit(min_replicas=least, replica_step=step, spare_replicas=spares)

    @rule(autoscaling=st.sampled_from([None, Autoscaling(metrics=({},))]))
    def autoscale(self, autoscaling):
        self.cluster.edit(autoscaling=autoscaling)

    @rule(allowed=st.integers(0, 4))
    def change_max_restarts(self, allowed):
        self.cluster.edit(max_restarts=allowed)

    @rule(suspend=st.sampled_from([False, False, True]))
    def suspend(self, suspend):
        self.cluster.edit(run_policy=self.run_policy(suspend=suspend))

    @precondition(lambda self: self.cluster.job.spec.run_policy.suspend)
    @rule(image=st.sampled_from(["trainer:1", "trainer:2"]), resume=st.booleans())
    def change_the_template(self, image, resume):
        template = {"spec": {"containers": [{"name": "trainer", "image": image}]}}
        policy = self.run_policy(suspend=not resume)
        self.cluster.edit(template=template, run_policy=policy)

    # --- the world ---

    @rule(seconds=st.sampled_from([0.1, 1, 10, 100, 700]))
    def wait(self, seconds):
        self.cluster.wait(seconds)

    @rule(node=st.sampled_from(["node-0", "node-1"]), is_there=st.sampled_from([True, True, False]))
    def lose_a_node(self, node, is_there):
        on_it = [pod for pod in self.cluster.pods.values() if pod.node == node and not pod.ended]
        self.ends["infrastructure"] += 0 if is_there else len(on_it)
        self.cluster.nodes[node] = builders.a_node(node, absent=not is_there)

    @rule()
    def bring_up(self):
        """The usual way of things."""
        self.reconcile(crash=False)
        self.start_all_pods()
        if self.cluster.running():
            self.form_a_round("admission")
            self.reconcile(crash=False)

    @precondition(lambda self: self.cluster.live())
    @rule()
    def start_all_pods(self):
        for pod in self.cluster.live():
            self.cluster.start(pod)

    @precondition(lambda self: self.cluster.running())
    @rule(data=st.data(), code=CODES)
    def end_a_pod(self, data, code):
        pod = self.a_pod(data, self.cluster.running())
        if not pod.deleting:
            self.ends["own"] += code in {1, FATAL}
            self.ends["ignored"] += code == IGNORED
            self.ends["infrastructure"] += code in {137, 143}
            if code == 1 and self.must_count(pod):
                self.uncounted.add(pod.name)
        self.cluster.end(pod, code)

    def must_count(self, pod):
        """Whether nothing but the pod itself is to blame for its end."""
        node = self.cluster.nodes.get(pod.node)
        return not (node and node.absent) and pod.uid not in self.cluster.store.drains

    @precondition(lambda self: self.cluster.live())
    @rule(data=st.data())
    def delete_a_pod(self, data):
        self.ends["infrastructure"] += 1
        self.cluster.delete(self.a_pod(data, self.cluster.live()))

    @precondition(lambda self: any(pod.deleting for pod in self.cluster.pods.values()))
    @rule(data=st.data())
    def remove_a_deleted_pod(self, data):
        deleting = [pod for pod in self.cluster.pods.values() if pod.deleting]
        self.cluster.remove(self.a_pod(data, deleting))

    @precondition(lambda self: self.cluster.running())
    @rule(cause=st.sampled_from(["lost", "restart", "restart", "admission", "left"]))
    def form_a_round(self, cause):
        self.ends["worker"] += cause == "restart"
        self.cluster.form(self.cluster.running(), cause)

    @rule(reachable=st.sampled_from([True, True, False]))
    def reach_the_store(self, reachable):
        self.cluster.store = builders.replace(self.cluster.store, reachable=reachable)

    @rule()
    def empty_the_store(self):
        self.cluster.empty_store()

    # --- what must hold ---

    @invariant()
    def no_name_is_given_twice(self):
        assert all(times <= 1 for times in self.cluster.names.values())

    @invariant()
    def failures_are_counted_at_most_once_and_never_forgotten(self):
        now, before = self.status.restarts, self.before.restarts
        assert self.certain <= now.pod <= self.ends["own"]
        assert now.infrastructure <= self.ends["infrastructure"]
        assert now.ignored <= self.ends["ignored"]
        assert now.worker <= self.ends["worker"]
        assert all(getattr(now, name) >= getattr(before, name) for name in COUNTERS)
        assert now.counted == now.pod + now.worker

    @invariant()
    def what_is_over_stays_over_for_the_same_reason(self):
        if self.before.phase in {"Complete", "Failed"}:
            assert self.status.phase == self.before.phase
            assert self.status.completion_time == self.before.completion_time
            assert self.status.restarts == self.before.restarts
            assert self.failed_reason(self.status) == self.failed_reason(self.before)

    @invariant()
    def budgets_are_kept_and_nothing_fails_below_them(self):
        spec, told = self.cluster.job.spec, self.status.restarts
        exceeded = {
            "MaxRestartsExceeded": told.counted > spec.max_restarts,
            "RestartBudgetExceeded": spec.failure_policy.budget is not None
            and len(told.recent) > spec.failure_policy.budget.max_restarts_per_window,
            "NoProgress": spec.failure_policy.no_progress_rounds is not None
            and told.rounds_without_progress >= spec.failure_policy.no_progress_rounds,
        }
        if self.status.phase == "Failed":
            assert exceeded.get(self.failed_reason(self.status), True)

    def failed_reason(self, status):
        return conditions.find(status.conditions, conditions.FAILED).reason

    @invariant()
    def rounds_go_up(self):
        assert self.status.rendezvous.round >= self.before.rendezvous.round
        numbers = [told.round for told in self.status.rendezvous.history]
        assert numbers == sorted(set(numbers))

    @invariant()
    def spares_are_counted_apart(self):
        told = self.status
        assert 0 <= told.spares <= size.most_pods(self.cluster.job.spec)
        assert told.ready <= self.status.rendezvous.workers
        if told.spares:
            assert told.ready <= told.replicas

    @invariant()
    def no_more_failures_of_nodes_are_remembered_than_there_were(self):
        policy, told = self.cluster.job.spec.failure_policy.avoid_nodes, self.status.node_failures
        assert policy or not told
        assert all(1 <= len(node.at) <= policy.failures for node in told)
        assert all(list(node.at) == sorted(set(node.at)) for node in told)
        ends = self.ends["own"] + self.ends["infrastructure"]
        assert sum(len(node.at) for node in told) <= ends
        assert {node.node for node in told} <= {"node-0", "node-1"}

    @invariant()
    def every_pod_has_the_jobs_own_client(self):
        own = self.status.client_image
        members = {member.pod for member in self.status.rendezvous.members}
        if self.status.phase == "Running" and members & {pod.name for pod in self.cluster.live()}:
            assert own or self.before.phase == "Suspended"
        if own and own == self.before.client_image:
            made = {step.manifest["spec"]["initContainers"][0]["image"] for step in self.created()}
            assert made <= {own}

    def created(self):
        return [step for step in self.cluster.deeds if hasattr(step, "manifest")]

    @invariant()
    def the_end_is_told_once(self):
        ends = [
            event for event in self.cluster.told if event.reason in {"JobComplete", "JobFailed"}
        ]
        assert len(ends) == (self.status.phase in {"Complete", "Failed"})

    # --- what must come of it in the end ---

    def teardown(self):
        if not hasattr(self, "cluster"):
            return
        assert self.cluster.settle(), f"it never comes to rest: {self.cluster.deeds}"
        spec, pods = self.cluster.job.spec, self.cluster.pods.values()
        assert self.cluster.is_autoscaled == bool(self.status.autoscaler)
        if self.cluster.is_over or self.status.phase == "Suspended":
            assert self.cluster.live() == []
            assert not self.cluster.is_autoscaled
            return
        assert self.cluster.is_autoscaled == (spec.autoscaling is not None)
        assert self.status.restarts.counted <= spec.max_restarts
        placed = [pod.index for pod in pods if pod.alive or pod.succeeded]
        assert len(placed) == len(set(placed))
        live = len(self.cluster.live())
        assert live <= size.pods(spec) <= live + self.status.succeeded
        assert self.status.replicas + self.status.spares == live
        if not self.status.succeeded:
            assert (self.status.ready, self.status.spares) == (
                size.workers(spec),
                spec.spare_replicas,
            )
        assert sum(pod.failed for pod in pods) <= self.limit
        blueprints = {pod.blueprint for pod in self.cluster.live()}
        assert len(blueprints) <= 1, "all were made from the same template"


TestHistories = Histories.TestCase
TestHistories.settings = hypothesis_settings(
    max_examples=150, stateful_step_count=30, deadline=None, database=None, derandomize=True
)
