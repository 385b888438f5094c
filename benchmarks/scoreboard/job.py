"""One training job on this machine: several ``torchrun`` agents, and all that is seen of them.

Nothing here waits for a time to pass: events of workers, lines of agents' logs and ends of
processes all notify the same condition.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path

from benchmarks.scoreboard.agent import Agent, Event, children
from benchmarks.scoreboard.contenders import Contender
from benchmarks.scoreboard.outcome import Outcome
from benchmarks.scoreboard.stores import Place

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
_TORCHRUN = ("-m", "torch.distributed.run")
START_LIMIT_S = 120.0
PATIENCE_S = 22.0
_READ_LIMIT_S = 5.0


class Job(AbstractContextManager["Job"]):
    """A job of a contender.

    Args:
        contender: Whose rendezvous the agents use.
        nodes: ``--nnodes``.
        worker: Arguments of the worker script.
        apart: Have the store in a process of its own, where it would be in the first agent.
        run_id: The job's id; a fresh one by default.
        place: The store of an earlier job, to be used again.
    """

    def __init__(
        self,
        contender: Contender,
        nodes: str,
        *worker: str,
        apart: bool = False,
        run_id: str = "",
        place: Place | None = None,
    ) -> None:
        self._closing = ExitStack()
        self.contender, self.nodes, self._worker = contender, nodes, worker
        self.folder = Path(tempfile.mkdtemp(prefix="job-"))  # short: it holds a socket's name
        self._closing.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.run_id = run_id or self.folder.name
        self.place = place or self._closing.enter_context(contender.open(self.folder, apart=apart))
        self.agents: dict[str, Agent] = {}
        self.events: list[Event] = []
        self._changed = threading.Condition()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._listener.bind(str(self.folder / "events"))
        threading.Thread(target=self._listen, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        for agent in self.agents.values():
            self.kill(agent)
            if agent.reader:
                agent.reader.join(_READ_LIMIT_S)
        (self.folder / "closed").touch()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._closing.close()

    # --- what is done to it ---

    def start(
        self,
        name: str,
        *flags: str,
        environ: Mapping[str, str] | None = None,
        program: Sequence[str] = _TORCHRUN,
        conf: Mapping[str, object] | None = None,
    ) -> Agent:
        """Start an agent.

        Args:
            name: Its address, 127.0.0.x; the agents of one machine are told apart by it.
            flags: Further arguments of torchrun, which win over the job's.
            environ: Further environment.
            program: What Python runs in place of torchrun.
            conf: Further options of ``--rdzv-conf``.
        """
        command = [
            *(sys.executable, *program),
            *(f"--nnodes={self.nodes}", "--nproc-per-node=1", "--max-restarts=3"),
            *(f"--rdzv-backend={self.contender.backend}", f"--rdzv-id={self.run_id}"),
            *(
                f"--rdzv-endpoint={self.contender.scheme}{self.place.endpoint}",
                f"--local-addr={name}",
            ),
            f"--log-dir={self.folder / 'logs'}",
            f"--rdzv-conf={self.contender.conf(self.place, conf or {})}",
            *flags,
            *(str(HERE / "worker.py"), *self._worker),
        ]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=self._environment(name) | dict(environ or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        agent = Agent(name, process, time.monotonic())
        self.agents[name] = agent
        agent.reader = threading.Thread(target=self._read, args=(agent,), daemon=True)
        agent.reader.start()
        return agent

    def kill(self, agent: Agent) -> None:
        """Kill an agent and its workers at once, as when their machine dies."""
        workers = children(agent.process.pid)
        if agent.process.poll() is None:
            agent.process.kill()
            agent.process.wait()
        for worker in workers:
            with suppress(ProcessLookupError):
                os.killpg(worker, 9)  # torchrun makes each worker a session of its own

    def kill_worker(self, agent: Agent) -> None:
        self._signal_worker(agent, signal.SIGKILL)

    def freeze_worker(self, agent: Agent) -> None:
        self._signal_worker(agent, signal.SIGSTOP)

    def _signal_worker(self, agent: Agent, number: int) -> None:
        for child in children(agent.process.pid):
            with suppress(ProcessLookupError):
                os.killpg(child, number)

    def tell(self, word: str) -> None:
        """Tell the workers: ``finish``, ``finish.<agent>``, or once ``fail.<agent>``."""
        (self.folder / word).touch()

    # --- what is seen of it ---

    @property
    def limit_s(self) -> float:
        """How long to wait for what is to happen: longer where torch takes long to be imported."""
        imports_s = [a.attempted_at - a.began for a in self.agents.values()]
        return PATIENCE_S + 3 * max(imports_s, default=0)

    def attempted(self, *agents: Agent) -> bool:
        """Wait until these agents have entered the rendezvous for the first time."""
        return self.wait(lambda: all(a.attempted_at > a.began for a in agents), START_LIMIT_S)

    def wait(
        self, holds: Callable[[], bool], limit_s: float, *, unless: Callable[[], bool] | None = None
    ) -> bool:
        """Wait until something holds; give up after a time, or when something else holds."""

        def settled() -> bool:
            return holds() or bool(unless and unless())

        with self._changed:
            self._changed.wait_for(settled, limit_s)
            return holds()

    def now(self) -> int:
        """Return a mark: events from now on have this number or a higher one."""
        return len(self.events)

    @staticmethod
    def clock() -> float:
        """The time, in seconds on the clock of the events."""
        return time.monotonic()

    def of(self, agent: Agent, event: str, since: int = 0) -> list[Event]:
        return [e for e in self.events[since:] if e.agent == agent.name and e.event == event]

    def entered(self, agent: Agent, since: int = 0) -> Event | None:
        """The last entry of an agent's worker into a round."""
        return next(reversed(self.of(agent, "entered", since)), None)

    def together(self, *agents: Agent, since: int = 0) -> bool:
        """Whether the agents' workers take steps in one round that has no others in it."""
        entries = [self.entered(agent, since) for agent in agents]
        here = [entry for entry in entries if entry]
        return (
            len(here) == len(agents)
            and len({entry.more["master"] for entry in here}) == 1
            and {entry.more["world"] for entry in here} == {len(agents)}
            and {entry.more["rank"] for entry in here} == set(range(len(agents)))
            and all(self._steps(entry) for entry in here)
        )

    def rank0(self) -> Agent:
        """The agent whose worker has rank 0."""
        entries = [(agent, self.entered(agent)) for agent in self.agents.values()]
        return next(agent for agent, entry in entries if entry and entry.more["rank"] == 0)

    def restarts(self) -> int:
        """The most restarts that any agent has spent."""
        return max((e.more["restarts"] for e in self.events if e.event == "entered"), default=0)

    def ended(self, *agents: Agent) -> bool:
        return all(agent.ended_at is not None for agent in agents)

    def all_ended(self) -> bool:
        return self.ended(*self.agents.values())

    def any_ended(self) -> bool:
        return any(agent.ended_at is not None for agent in self.agents.values())

    def finish(self, *agents: Agent) -> bool:
        """Tell all workers to finish; return whether these agents end with 0."""
        self.tell("finish")
        self.wait(lambda: self.ended(*agents), self.limit_s)
        return all(agent.code == 0 for agent in agents)

    def failed(self) -> Outcome:
        """The outcome when what was to happen did not."""
        codes = {agent.code for agent in self.agents.values() if agent.code not in {None, 0, -9}}
        words = " and ".join(f"exit {code}" for code in sorted(map(str, codes)))
        return Outcome(False, words or f"not in {self.limit_s:.0f} s", self.fate())

    def fate(self) -> str:
        """What became of the agents, in words."""
        said = []
        for agent in self.agents.values():
            last = self.entered(agent)
            if agent.ended_at is not None:
                end = f"exit {agent.code} after {agent.ended_at - agent.began:.0f} s"
                said.append(f"{agent.name}: {end}" + (f", {agent.last_error()}" * bool(agent.code)))
            elif last:
                seat = f"rank {last.more['rank']} of {last.more['world']}"
                said.append(f"{agent.name}: {seat}, master {last.more['master']}")
            else:
                said.append(f"{agent.name}: in no round")
        return "; ".join(said)

    # --- within ---

    def _environment(self, name: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PET_", "RDZV_"))}
        return {
            **kept,
            **self.contender.environment(name),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "operator")]),
            "SCOREBOARD_FOLDER": str(self.folder),
            "SCOREBOARD_AGENT": name,
            "LOGLEVEL": "INFO",
            "OMP_NUM_THREADS": "1",
        }

    def _steps(self, entry: Event) -> bool:
        return any(e.event == "step" and e.pid == entry.pid for e in reversed(self.events))

    def _listen(self) -> None:
        while not (self.folder / "closed").exists():
            try:
                more = json.loads(self._listener.recv(65536) or b"{}")
            except OSError:
                return
            if more:
                with self._changed:
                    agent, event, at, pid = map(more.pop, ("agent", "event", "at", "pid"))
                    self.events.append(Event(agent, event, at, pid, more))
                    self._changed.notify_all()

    def _read(self, agent: Agent) -> None:
        assert agent.process.stdout
        with agent.process.stdout as lines:
            for line in lines:
                with self._changed:
                    agent.log.append((time.monotonic(), line.rstrip()))
                    self._changed.notify_all()
        agent.process.wait()
        with self._changed:
            agent.ended_at = time.monotonic()
            self._changed.notify_all()
