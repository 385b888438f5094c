"""Follows a job by kubectl's watches and logs: narrates what happens and posts it on the board."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from elasticjob_operator import api, timeline
from examples.demo import training
from examples.demo.board import Board
from examples.demo.commands import Tools
from examples.demo.follower import Follower

CONTAINER = "trainer"
TOLD_AS_ROUNDS = {"RoundFormed"}


class Spectator:
    """A context: within it the job is watched, its events, and the log of every worker.

    Whatever comes is printed once: each round that status records, each event of the job, each line
    about training.
    """

    def __init__(self, tools: Tools, job: str, board: Board) -> None:
        self._tools = tools
        self._narrator = tools.narrator
        self._job = job
        self._board = board
        self._followers: list[Follower] = []
        self._followed_pods: set[str] = set()
        self._told_events: set[str] = set()
        self._told_round = 0

    def __enter__(self) -> Self:
        name = ("elasticjob", self._job)
        uid = self._tools.ask("kubectl", "get", *name, "--output=jsonpath={.metadata.uid}")
        self._follow(*name).documents(self._see_job)
        self._follow("events", f"--field-selector=involvedObject.uid={uid}").documents(
            self._see_event
        )
        return self

    def __exit__(self, *_: object) -> None:
        for follower in self._followers:
            follower.stop()

    def _follow(self, *words: str) -> Follower:
        follower = self._tools.follow("kubectl", "get", *words, "--watch", "--output=json")
        self._followers.append(follower)
        return follower

    def _see_job(self, job: Mapping[str, Any]) -> None:
        if job.get("kind") != "ElasticJob":
            return  # a watch that ends badly prints a Status
        for one in timeline.read_rounds(job):
            if one.round > self._told_round:
                self._told_round = one.round
                self._tell_round(one)
        for member in job.get("status", {}).get("rendezvous", {}).get("members", []):
            self._follow_log(member["pod"])
        self._board.post_job(job)

    def _tell_round(self, one: api.RoundRecord) -> None:
        took = f"{one.round} formed in {timeline.spell(one.seconds)}"
        self._narrator.live("round", f"{took}: {timeline.ranks(one)}; because {one.reason}")

    def _see_event(self, event: Mapping[str, Any]) -> None:
        if event.get("kind") != "Event" or event["metadata"]["uid"] in self._told_events:
            return
        self._told_events.add(event["metadata"]["uid"])
        if event["reason"] not in TOLD_AS_ROUNDS:
            self._narrator.live("event", f"{event['reason']}: {event['message']}")

    def _follow_log(self, pod: str) -> None:
        if pod in self._followed_pods:
            return
        self._followed_pods.add(pod)
        log = self._tools.follow("kubectl", "logs", "--follow", pod, f"--container={CONTAINER}")
        self._followers.append(log)
        log.lines(lambda line: self._see_line(pod, line))

    def _see_line(self, pod: str, line: str) -> None:
        step = training.read_line(line)
        if step:
            self._narrator.live("training", f"{pod}: {line}")
            self._board.post_step(step)
