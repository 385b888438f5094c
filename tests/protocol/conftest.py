"""Runs golden scripts: what happens to a cluster, and what each member sees of it.

A script is a list of blocks. A block is one command, a line ``----``, and what must follow from it.
``pytest tests/protocol --accept`` writes what was seen into the scripts; read the difference.
"""

import dataclasses

import pytest

from rdzv_client import wire
from rdzv_client.testing.cluster import RUN, Cluster


def pytest_addoption(parser):
    parser.addoption("--accept", action="store_true", help="write what was seen into the scripts")


def pytest_collect_file(parent, file_path):
    if file_path.suffix == ".txt":
        return Script.from_parent(parent, path=file_path)
    return None


class Script(pytest.File):
    def collect(self):
        yield ScriptItem.from_parent(self, name=self.path.stem)


class ScriptItem(pytest.Item):
    def runtest(self):
        written = self.path.read_text()
        seen = Player().play(written)
        if self.config.getoption("--accept"):
            self.path.write_text(seen)
        assert seen == written

    def reportinfo(self):
        return self.path, 0, self.name


class Player:
    """Plays one script on a cluster whose messages all take one millisecond."""

    def __init__(self):
        self.cluster = Cluster(delay_s=(0.001, 0.001))
        self.seen = None
        self.entered = {}

    def play(self, script):
        blocks = []
        for block in script.strip().split("\n\n"):
            if block.startswith("#"):
                blocks.append(block)
                continue
            command = block.split("\n----", 1)[0]
            for line in command.splitlines():
                self.do(*line.split())
            blocks.append("\n".join([command, "----", *self.news()]))
        return "\n\n".join(blocks) + "\n"

    def do(self, verb, *args):
        getattr(self, "do_" + verb)(*args)

    # --- commands ---

    def do_nodes(self, low, high, step=1):
        self.cluster.min_nodes, self.cluster.max_nodes = int(low), int(high)
        self.cluster.step = int(step)

    def do_interval(self, seconds):
        timing = dataclasses.replace(self.cluster.timing, admission_interval_s=float(seconds))
        self.cluster.timing = timing

    def do_expect(self, nodes):
        self.cluster.settings(expected=int(nodes))

    def do_tells_sites(self):
        self.cluster.tells_sites = True

    def do_site(self, name, topology=""):
        self.cluster.site(self.member(name), topology)

    def do_stall(self, nodes, number, *reason):
        self.cluster.settings(expected=int(nodes), stalled=(int(number), " ".join(reason)))

    def do_close(self, *reason):
        self.cluster.settings(closed=" ".join(reason))

    def do_start(self, *names):
        for agent in names:
            name, _, place = agent.partition("@")
            slot, _, topology = place.partition("@")
            self.cluster.start(name, int(slot) if slot else None, topology)

    def do_run(self, seconds):
        self.cluster.run(float(seconds))

    def do_crash(self, *names):
        for name in names:
            self.member(name).crash()

    def do_gone(self, name):
        self.cluster.gone(self.member(name))

    def do_asks_to_close(self, name, *reason):
        self.cluster.closing_is_meant = True
        self.member(name).close(" ".join(reason))

    def do_drain(self, *names):
        for name in names:
            self.cluster.drain(self.member(name))

    def do_leave(self, name):
        self.member(name).leave("signal", "it was told to stop")

    def do_fail(self, name):
        self.member(name).fail_workers()

    def do_finish(self, *names):
        for name in names:
            self.member(name).finish()

    def do_pause(self, name):
        self.member(name).pause()

    def do_resume(self, name):
        self.member(name).resume()

    def do_slow(self, name, seconds):
        self.member(name).stop_s = float(seconds)

    def do_freeze(self):
        self.cluster.freeze()

    def do_thaw(self):
        self.cluster.thaw()

    def do_replace(self):
        self.cluster.replace_store()

    # --- what is seen ---

    def member(self, name):
        return [m for m in self.cluster.members.values() if m.name == name][-1]

    def news(self):
        return [*self.round_news(), *self.member_news()]

    def round_news(self):
        record = self.cluster.store.records.get(RUN.round)
        if record is None or record.value == self.seen:
            return
        self.seen = record.value
        new = wire.decode(wire.Round, RUN.round, record.value)
        yield f"round {new.number} {new.phase}: {new.reason}"

    def member_news(self):
        for one in self.cluster.members.values():
            state = self.state(one)
            if self.entered.get(one.id) != state:
                self.entered[one.id] = state
                yield f"{one.name} {state}"

    def state(self, one):
        if one.ended:
            return f"ended: {one.ended}"
        if one.crashed:
            return "is dead"
        if one.entered:
            step = one.entered
            return f"is rank {step.rank} of {step.round.world_size} in round {step.round.number}"
        return "waits"
