"""Random histories of pods, failures and edits: what must hold whatever happens.

The cluster here is a few rules: pods that are created run, pods that run may end in any way, pods
that are deleted are deleting for a while. The operator may be restarted at any moment, which loses
all but the objects and their status.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import builders
from builders import a_job, a_pod, a_round, a_store_pod, ended, settings
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from elasticjob_operator import actions, api, plan, report
from elasticjob_operator.observed import Drained, Observed, StoreView
from elasticjob_operator.settings import Settings

SETTINGS = Settings()


class Cluster(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.job = a_job(replicas=2, at_least=1, at_most=4, max_restarts=3)
        self.pods = {}
        self.names = Counter()
        self.now = builders.NOW
        self.store = StoreView(reachable=True, settings=settings())
        self.nodes = {}
        self.own_failures = 0
        self.end = None

    # --- the operator ---

    @rule(crashes=st.booleans())
    def reconcile(self, crashes):
        observed = Observed(
            self.now,
            self.job,
            tuple(self.pods.values()),
            (a_store_pod(),),
            self.store,
            nodes=self.nodes,
        )
        decided = plan.plan(observed, SETTINGS)
        made, gone = [], []
        for step in decided.actions:
            if isinstance(step, actions.CreatePod):
                made.append(self.create(step))
            elif isinstance(step, actions.DeletePod):
                gone.append(self.delete(step))
            elif isinstance(step, actions.WriteSettings):
                self.store = replace(self.store, settings=step.settings)
            elif isinstance(step, actions.Drain):
                asked = {uid: Drained(step.reason, self.now) for uid in step.uids}
                self.store = replace(self.store, drains=self.store.drains | asked)
        if crashes:
            # Between its deeds and the word of them: a pod that is gone before the next reconcile
            # was never heard of, and its name may be given again.
            self.names.subtract(pod.name for pod in made)
            return
        outcome = report.Outcome(tuple(made), tuple(gone))
        self.job = self.job.model_copy(update={"status": report.status(decided, outcome)})

    def create(self, step):
        assert step.name not in self.pods, "a name was given twice"
        pod = replace(a_pod(step.index, step.attempt), created_at=self.now)
        self.pods[step.name] = builders.pending(pod)
        self.names[step.name] += 1
        return report.Created(step.name, step.index, step.attempt)

    def delete(self, step):
        pod = self.pods[step.name]
        if pod.ended or step.at_once:
            del self.pods[step.name]
        else:
            self.pods[step.name] = builders.deleting(pod)
        return report.Deleted(step.name, step.reason)

    # --- the world ---

    @rule(replicas=st.integers(1, 4))
    def scale(self, replicas):
        spec = self.job.spec.model_copy(update={"replicas": replicas})
        self.job = self.job.model_copy(update={"spec": spec})

    @rule(suspend=st.booleans())
    def suspend(self, suspend):
        change = {"run_policy": api.RunPolicy(suspend=suspend)}
        self.job = self.job.model_copy(update={"spec": self.job.spec.model_copy(update=change)})

    @rule(node=st.sampled_from(["node-0", "node-1"]), is_there=st.booleans())
    def lose_a_node(self, node, is_there):
        self.nodes[node] = builders.a_node(node, absent=not is_there)

    @rule(seconds=st.sampled_from([0.1, 1, 10, 100]))
    def wait(self, seconds):
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: any(not pod.ended for pod in self.pods.values()))
    @rule(data=st.data())
    def start_a_pod(self, data):
        pod = data.draw(st.sampled_from([p for p in self.pods.values() if not p.ended]))
        self.pods[pod.name] = replace(
            pod, phase="Running", training=a_pod(0).training, trouble=None, unschedulable=""
        )

    @precondition(lambda self: any(pod.running for pod in self.pods.values()))
    @rule(data=st.data(), code=st.sampled_from([0, 1, 137, 143]))
    def end_a_pod(self, data, code):
        pod = data.draw(st.sampled_from([p for p in self.pods.values() if p.running]))
        if code == 1 and not pod.deleting:
            self.own_failures += 1
        self.pods[pod.name] = ended(pod, code, finished_at=self.now)

    @precondition(lambda self: any(not pod.ended for pod in self.pods.values()))
    @rule(data=st.data())
    def delete_a_pod(self, data):
        pod = data.draw(st.sampled_from([p for p in self.pods.values() if not p.ended]))
        self.pods[pod.name] = builders.deleting(pod)

    @precondition(lambda self: any(pod.deleting for pod in self.pods.values()))
    @rule(data=st.data())
    def remove_a_deleted_pod(self, data):
        pod = data.draw(st.sampled_from([p for p in self.pods.values() if p.deleting]))
        del self.pods[pod.name]

    @precondition(lambda self: any(pod.running for pod in self.pods.values()))
    @rule()
    def form_a_round(self):
        pods = [pod for pod in self.pods.values() if pod.running]
        last = self.store.formed[-1].record.number if self.store.formed else 0
        formed = a_round(last + 1, *pods, cause="lost" if last else "start")
        members = tuple(builders.a_member(pod) for pod in pods)
        rounds = (*self.store.formed, formed)
        self.store = replace(self.store, formed=rounds, round=formed.record, members=members)

    @precondition(lambda self: any(self.is_asked_to_leave(m.uid) for m in self.store.members))
    @rule(data=st.data())
    def a_member_leaves(self, data):
        asked = [m for m in self.store.members if self.is_asked_to_leave(m.uid)]
        member = data.draw(st.sampled_from(asked))
        left = tuple(m for m in self.store.members if m is not member)
        self.store = replace(self.store, members=left)
        self.pods[member.name] = ended(self.pods[member.name], 0, finished_at=self.now)

    def is_asked_to_leave(self, uid):
        running = {pod.uid for pod in self.pods.values() if pod.running}
        return uid in self.store.drains and uid in running

    @rule(reachable=st.booleans())
    def reach_the_store(self, reachable):
        self.store = replace(self.store, reachable=reachable)

    # --- what must hold ---

    @invariant()
    def never_more_pods_than_the_most_that_are_allowed(self):
        live = [pod for pod in self.pods.values() if not (pod.ended or pod.deleting)]
        assert len(live) <= self.job.spec.max_replicas

    @invariant()
    def never_two_live_pods_with_one_index(self):
        live = [pod.index for pod in self.pods.values() if not (pod.ended or pod.deleting)]
        assert len(live) == len(set(live))

    @invariant()
    def no_name_is_given_twice(self):
        assert all(times <= 1 for times in self.names.values())

    @invariant()
    def failures_are_counted_at_most_once(self):
        assert self.job.status.restarts.pod <= self.own_failures

    @invariant()
    def what_is_over_stays_over(self):
        phase = self.job.status.phase
        assert self.end in (None, phase)
        if phase in ("Complete", "Failed"):
            self.end = phase

    @invariant()
    def a_job_fails_only_beyond_its_budget(self):
        if self.job.status.phase == "Failed":
            assert self.own_failures > self.job.spec.max_restarts


TestCluster = Cluster.TestCase
TestCluster.settings = hypothesis_settings(
    max_examples=60, stateful_step_count=40, deadline=None, database=None
)


def test_the_operator_settles_whatever_the_history_was():
    """Repeating the reconcile without news soon finds nothing to do."""
    job = a_job(replicas=3, at_least=1)
    observed = Observed(builders.NOW, job, (), (a_store_pod(),), StoreView(reachable=True))
    for _ in range(3):
        decided = plan.plan(observed, SETTINGS)
        made = tuple(
            report.Created(step.name, step.index, step.attempt)
            for step in decided.actions
            if isinstance(step, actions.CreatePod)
        )
        pods = (*observed.pods, *(a_pod(pod.index, pod.attempt) for pod in made))
        told = [s.settings for s in decided.actions if isinstance(s, actions.WriteSettings)]
        store = replace(observed.store, settings=told[-1]) if told else observed.store
        status = report.status(decided, report.Outcome(created=made))
        job = job.model_copy(update={"status": status})
        observed = replace(observed, job=job, pods=pods, store=store)
    assert [type(step) for step in decided.actions] == [actions.Provision]
    assert isinstance(job.status, api.ElasticJobStatus)
