"""A cluster of a few rules, in which a job is looked after by the operator's real decisions.

Pods that are made are pending until they are started; pods that are deleted are deleting for a
while; the store does as it is told. No name is taken twice, and of what was told only the status
that was written is known later.
"""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta

import builders

from elasticjob_operator import actions, events, plan, pod_facts, report
from elasticjob_operator.observed import Drained, Observed, StoreView
from elasticjob_operator.policies import size
from elasticjob_operator.settings import Settings
from elasticjob_operator.timestamps import stamp

CHANGES = (
    actions.CreatePod,
    actions.DeletePod,
    actions.Drain,
    actions.StopAutoscaling,
    actions.WriteSettings,
)


class SmallCluster:
    """One job with all that belongs to it.

    Attributes:
        told: Events that were posted, by their words.
        deeds: What the last reconcile did, without what only makes sure of things.
    """

    def __init__(self, job):
        self.job, self.now, self.settings = job, builders.NOW, Settings(client_image="client:1")
        self.pods, self.nodes = {}, {}
        self.store = StoreView(reachable=True)
        self.names, self.told, self.deeds = Counter(), [], ()
        self.is_deleted = self.is_autoscaled = False
        self.last_settings = None

    # --- the operator ---

    def look(self):
        pods = tuple(pod_facts.by_age(self.pods.values()))
        store_pods = (builders.a_store_pod(),)
        return Observed(self.now, self.job, pods, store_pods, self.store, nodes=self.nodes)

    def reconcile(self, *, crash=False):
        """Look after the job once; a crash comes between its deeds and the word of them."""
        seen = self.look()
        decided = plan.plan(seen, self.settings)
        made, gone = self._carry_out(decided)
        self.deeds = tuple(step for step in decided.actions if isinstance(step, CHANGES))
        if crash:
            # A pod that is gone before the next look was never heard of: its name is free again.
            self.names.subtract(pod.name for pod in made)
            return
        unscaled = any(isinstance(step, actions.StopAutoscaling) for step in self.deeds)
        outcome = report.Outcome(tuple(made), tuple(gone), unscaled=unscaled)
        new = report.status(decided, outcome)
        self.told += events.events(decided, outcome, new)
        self.job = self.job.model_copy(update={"status": new})
        if not self.deeds:
            self._check_that_nothing_is_written_twice(replace(seen, job=self.job))

    def _check_that_nothing_is_written_twice(self, seen):
        again = plan.plan(seen, self.settings)
        assert report.status(again, report.Outcome()) == self.job.status
        assert events.events(again, report.Outcome(), self.job.status) == ()

    def _carry_out(self, decided):
        made, gone = [], []
        for step in decided.actions:
            match step:
                case actions.CreatePod():
                    made.append(self._create(step))
                case actions.DeletePod():
                    gone.append(self._delete(step))
                case actions.WriteSettings(settings):
                    self.store = replace(self.store, settings=settings)
                    self.last_settings = settings
                case actions.Drain(uids, reason):
                    asked = {uid: Drained(reason, self.now) for uid in uids}
                    self.store = replace(self.store, drains=self.store.drains | asked)
                case actions.Autoscale():
                    self.is_autoscaled = True
                case actions.StopAutoscaling():
                    self.is_autoscaled = False
                case actions.RemoveStore():
                    self.empty_store()
                case actions.DeleteJob():
                    self.is_deleted = True
        return made, gone

    def _create(self, step):
        assert step.name not in self.pods, "a name was taken twice"
        assert len(self.live()) < size.most_pods(self.job.spec), "more pods than the most"
        assert step.index not in {pod.index for pod in self.live()}, "an index was taken twice"
        floor = self.store.settings.round_floor if self.store.settings else -1
        assert floor >= self.job.status.rendezvous.round, "the store must know the last round first"
        body = deepcopy(step.manifest)
        uid = f"uid-{step.name}-{self.names.total()}"
        body["metadata"] |= {"uid": uid, "creationTimestamp": stamp(self.now)}
        body["spec"]["nodeName"] = self._node_for(step.index)
        self.pods[step.name] = pod_facts.worker_pod(body)
        self.names[step.name] += 1
        return report.Created(step.name, step.index, step.attempt)

    def _node_for(self, index):
        """Return a node that is there, if any is."""
        names = (f"node-{index % 2}", f"node-{(index + 1) % 2}")
        return next((n for n in names if not (self.nodes.get(n) and self.nodes[n].absent)), "")

    def _delete(self, step):
        pod = self.pods[step.name]
        if pod.ended or step.at_once:
            del self.pods[step.name]
        else:
            self.pods[step.name] = builders.deleting(pod)
        return report.Deleted(step.name, step.reason)

    # --- what is there ---

    def live(self):
        """The pods that run, or may yet."""
        return [pod for pod in self.pods.values() if not (pod.ended or pod.deleting)]

    def running(self):
        return [pod for pod in self.pods.values() if pod.running]

    @property
    def is_over(self):
        return self.job.status.phase in {"Complete", "Failed"}

    # --- what happens ---

    def edit(self, **spec):
        """Have the user edit the spec as the API server lets them."""
        if self.is_over:
            return
        edited = self.job.spec.model_copy(update=spec)
        step, bounds = edited.replica_step, (edited.min_replicas, edited.max_replicas)
        if not bounds[0] <= edited.replicas <= bounds[1] or any(n % step for n in bounds):
            return
        self.job = self.job.model_copy(update={"spec": edited})

    def wait(self, seconds):
        self.now += timedelta(seconds=seconds)

    def start(self, pod):
        running = builders.Container("running", started_at=self.now)
        self.pods[pod.name] = replace(pod, phase="Running", training=running)

    def end(self, pod, code, **container):
        began = pod.training.started_at
        ended = builders.ended(pod, code, finished_at=self.now, **container)
        training = replace(ended.training, started_at=began)
        self.pods[pod.name] = replace(ended, training=training)
        members = tuple(m for m in self.store.members if m.uid != pod.uid)
        self.store = replace(self.store, members=members)

    def delete(self, pod):
        self.pods[pod.name] = builders.deleting(pod)

    def remove(self, pod):
        del self.pods[pod.name]

    def in_the_next_round(self, pods):
        """Return those of these pods who form a round, as the store's settings have it."""
        told = self.store.settings or self.last_settings  # the last round knows them, too
        if told is None:
            return pods
        last = {rank.uid for formed in self.store.formed[-1:] for rank in formed.ranks}
        stayers_first = sorted(pods, key=lambda pod: (pod.uid not in last, pod.created_at))
        count = min(len(pods), told.max_nodes) // told.step * told.step
        return stayers_first[:count] if count >= told.min_nodes else []

    def form(self, pods, cause):
        """Have these pods form the next round; those who have no place in it stand by."""
        chosen = self.in_the_next_round(pods)
        if not chosen:
            return
        last = max(
            self.job.status.rendezvous.round, *(f.record.number for f in self.store.formed), 0
        )
        formed = replace(builders.a_round(last + 1, *chosen, cause=cause), at=self.now)
        self.store = replace(
            self.store,
            formed=(*self.store.formed, formed),
            round=formed.record,
            members=tuple(map(builders.a_member, pods)),
        )

    def empty_store(self):
        """Have the store come back without its data; what was seen of it stays seen."""
        self.store = StoreView(reachable=self.store.reachable, formed=self.store.formed)

    def may_grow(self, pods):
        """Whether a round of these pods has more members than the last one."""
        last = [len(formed.ranks) for formed in self.store.formed[-1:]]
        return [len(self.in_the_next_round(pods))] > last

    # --- how it ends ---

    def settle(self, looks=12):
        """Let nothing more happen but what has to; return whether the operator came to rest."""
        self.nodes = {name: replace(node, absent=False) for name, node in self.nodes.items()}
        self.store = replace(self.store, reachable=True)
        for _ in range(looks):
            self.wait(60)
            for pod in [pod for pod in self.pods.values() if pod.deleting]:
                self.remove(pod)
            for pod in self.live():
                if not pod.running:
                    self.start(pod)
            for pod in [pod for pod in self.running() if pod.uid in self.store.drains]:
                self.end(pod, 0)
            working = {member.uid for member in self.store.members}
            staying = self.running()
            if staying and (working != {pod.uid for pod in staying} or self.may_grow(staying)):
                self.form(staying, "lost")
            idle, _ = not self.deeds, self.reconcile()
            # Once is not enough: what was done before a crash is done, and only its wait is left.
            if idle and not self.deeds and not any(pod.deleting for pod in self.pods.values()):
                return True
        return False
