"""Participants: threads in processes that are forked for one measurement and killed after it."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, Final

from benchmarks.comparison import NotMeasured

_START_LIMIT_S: Final = 120.0
_SWITCH_S: Final = 0.1
"""How long whoever has Python's lock may keep it from the others of the process, who elsewhere run
apart. With Python's own 5 ms the waiting of many takes all processor time, the store's too."""

_fork = multiprocessing.get_context("fork")


def processes_for(n: int) -> int:
    """How many processes hold ``n`` participants: up to 8 for a few, 16 from 64 on."""
    return min(n, 8) if n < 64 else 16


class Crowd:
    """``n`` participants, spread evenly over processes.

    Args:
        make: Makes the participant of an index, in its process, before anything is measured.
        n: How many.
        processes: In how many processes; by default as :func:`processes_for` says.
    """

    def __init__(self, make: Callable[[int], Any], n: int, processes: int | None = None) -> None:
        self.n = n
        count = processes or processes_for(n)
        self._shares = [range(start, n, count) for start in range(count)]
        self._links: list[Connection] = []
        self._pids: list[int] = []
        try:
            for share in self._shares:
                self._fork(make, share)
            self.collect([True] * count, _START_LIMIT_S)
        except BaseException:
            self.close()
            raise

    def do(
        self, action: Callable[..., Any], *args: Any, limit_s: float, members: Sequence[int] = ()
    ) -> list[Any]:
        """Call ``action(participant, *args)`` on a thread for each; return what they returned.

        Args:
            action: A function of a module.
            args: What it is called with.
            limit_s: How long all of it may take.
            members: Whose participants, by index; by default all.

        Raises:
            NotMeasured: not all returned within the time, or one failed.
        """
        return self.collect(self.begin(action, *args, members=members), limit_s)

    def begin(
        self, action: Callable[..., Any], *args: Any, members: Sequence[int] = ()
    ) -> list[bool]:
        """Begin what :meth:`do` does; what it returns is given to :meth:`collect`."""
        wanted = set(members or range(self.n))
        busy = []
        for link, share in zip(self._links, self._shares, strict=True):
            mine = [index for index in share if index in wanted]
            busy.append(bool(mine))
            if mine:
                link.send((action, args, mine))
        return busy

    def collect(self, busy: list[bool], limit_s: float) -> list[Any]:
        """Return what the participants returned, in the order of their indices."""
        found = self._collect(busy, limit_s)
        results = [pair for part in found for pair in part]
        failed = [value for _, value in results if isinstance(value, NotMeasured)]
        if failed:
            raise failed[0]
        return [value for _, value in sorted(results)]

    def kill(self, index: int) -> float:
        """Kill the process of a participant; return when, on the monotonic clock."""
        at = time.monotonic()
        process = next(i for i, share in enumerate(self._shares) if index in share)
        os.kill(self._pids[process], signal.SIGKILL)
        return at

    def cpu_s(self) -> float:
        """How much processor time all processes have used so far, in seconds."""
        return sum(processor_s(pid) for pid in self._pids)

    def close(self) -> None:
        """Kill all processes."""
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
        for pid in self._pids:
            os.waitpid(pid, 0)
        for link in self._links:
            link.close()
        self._pids, self._links = [], []

    def __enter__(self) -> Crowd:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fork(self, make: Callable[[int], Any], share: range) -> None:
        here, there = _fork.Pipe()
        pid = os.fork()
        if pid == 0:
            here.close()
            _live(there, make, share)
        there.close()
        self._links.append(here)
        self._pids.append(pid)

    def _collect(self, busy: list[bool], limit_s: float) -> list[Any]:
        ends_at = time.monotonic() + limit_s
        found = []
        for link, expected in zip(self._links, busy, strict=True):
            if expected:
                if not link.poll(max(0.0, ends_at - time.monotonic())):
                    raise NotMeasured(f"not finished within {limit_s:g} s")
                found.append(_received(link))
        return found


def _received(link: Connection) -> list[tuple[int, Any]]:
    try:
        received: list[tuple[int, Any]] = link.recv()
    except (EOFError, OSError):
        return [(-1, NotMeasured("a process of participants died"))]
    return received


def _live(link: Connection, make: Callable[[int], Any], share: range) -> None:
    """Be one of the processes: never returns, and never runs what is to be done at exit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who measures ends this process
    sys.setswitchinterval(_SWITCH_S)
    logging.disable(logging.WARNING)  # what members say of a lost store is not asked for here
    try:
        participants = {index: make(index) for index in share}
        link.send([])
        while True:
            action, args, mine = link.recv()
            link.send(_act({index: participants[index] for index in mine}, action, args))
    except BaseException as error:  # noqa: BLE001 - whatever it was, the parent is to know
        link.send([(-1, _failure(error))])
    finally:
        os._exit(0)


def _act(
    participants: dict[int, Any], action: Callable[..., Any], args: tuple[Any, ...]
) -> list[tuple[int, Any]]:
    results: list[tuple[int, Any]] = []

    def act(index: int) -> None:
        try:
            results.append((index, action(participants[index], *args)))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the parent is to know
            results.append((index, _failure(error)))

    threads = [threading.Thread(target=act, args=(index,)) for index in participants]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def _failure(error: BaseException) -> NotMeasured:
    if isinstance(error, NotMeasured):
        return error
    return NotMeasured(f"{type(error).__name__}: {error}"[:200])


def processor_s(pid: int) -> float:
    """How much processor time a process has used so far, in seconds; 0 if it is no more."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / float(os.sysconf("SC_CLK_TCK"))


# --- what participants do -----------------------------------------------------------------------


def enter(handler: Any, at: float) -> tuple[float, float]:
    """Call ``next_rendezvous`` at a time; return when it was called and when it returned."""
    time.sleep(max(0.0, at - time.monotonic()))
    called = time.monotonic()
    handler.next_rendezvous()
    return called, time.monotonic()


def be_told(handler: Any, limit_s: float) -> float:
    """Return when ``num_nodes_waiting`` turned positive, as one sees who asks every 5 ms.

    Raises:
        TimeoutError: it did not within the time.
    """
    ends_at = time.monotonic() + limit_s
    while handler.num_nodes_waiting() <= 0:
        if time.monotonic() > ends_at:
            raise TimeoutError(f"not told within {limit_s:g} s")
        time.sleep(0.005)  # as an agent does, which asks every 100 ms: nothing announces it
    return time.monotonic()


def be_told_and_enter(handler: Any, limit_s: float) -> float:
    """Go into the next round as soon as the present one has ended; return when it stood."""
    be_told(handler, limit_s)
    handler.next_rendezvous()
    return time.monotonic()
