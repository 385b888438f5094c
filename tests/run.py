"""Runs the checks and tests in groups, and says at the end what ran and what did not, and why.

python -m tests.run check fast servers cluster
"""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests import debian

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "build" / "test-reports"


@dataclass(frozen=True)
class Step:
    """One command; ``tests`` says that pytest runs these folders.

    ``debians_etcd``: the tests run on the etcd that Debian ships in place of ours.
    ``variables``: what else the tests read from the environment.
    ``keyword``: only tests whose file or name has it.
    ``processes``: how many run the tests beside each other.
    ``by_file``: the tests of a file go on where the one before ended.
    ``yields``: it only computes, and leaves the processors to the steps beside it.
    """

    name: str
    command: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    debians_etcd: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    keyword: str = ""
    processes: int = 1
    by_file: bool = False
    yields: bool = False


@dataclass
class Outcome:
    """What came of a step: whether it passed, and of its tests how many ran or were skipped."""

    step: Step
    passed: bool
    seconds: float
    ran: int = 0
    skipped: list[str] = field(default_factory=list)


Lane = tuple[Step, ...]

_END_TO_END: Lane = (Step("end to end", tests=("e2e",), processes=3),)
_STORMS: Lane = (
    Step(
        "storms of faults",
        tests=("simulation/test_faults.py",),
        variables={"SCHEDULES": "10000"},
        yields=True,
    ),
    Step(
        "untrusted documents",
        tests=("unit/rdzv_client/test_untrusted.py",),
        variables={"EXAMPLES": "1000"},
        yields=True,
    ),
    Step(
        "contract on Debian's etcd",
        tests=("contract",),
        debians_etcd=True,
        keyword="etcd",
        processes=2,
    ),
)

# The lanes of a group run side by side: a cluster's tests wait more than they compute, so what
# computes most stands beside them, and yields.
GROUPS: dict[str, tuple[Lane, ...]] = {
    "check": (
        (
            Step("format", ("ruff", "format", "--check", "--quiet", ".")),
            Step("lint", ("ruff", "check", "--quiet", ".")),
            Step("types", ("mypy",)),
            Step("import contracts", ("lint-imports",)),
        ),
    ),
    "fast": ((Step("unit", tests=("unit", "protocol", "simulation"), processes=2),),),
    "servers": (
        (
            Step("chart", tests=("chart",)),
            Step("contract", tests=("contract",), processes=4),
            Step("torchrun", tests=("torchrun",), processes=2, by_file=True),
        ),
        (Step("integration", tests=("integration",), processes=2),),
    ),
    "e2e": (_END_TO_END,),
    "cluster": (_END_TO_END, _STORMS),
}


def main(names: Sequence[str]) -> int:
    """Run the groups in their order; go on after a failure. Return the exit status."""
    unknown = [name for name in names if name not in GROUPS]
    if unknown or not names:
        print(f"usage: python -m tests.run {{{','.join(GROUPS)}}} ...", file=sys.stderr)
        return 2
    outcomes = [outcome for name in names for outcome in run_group(GROUPS[name])]
    summarise(outcomes)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def run_group(lanes: Sequence[Lane]) -> list[Outcome]:
    """Run the lanes side by side; but for the first, what a step prints appears when it ends."""

    def follow(lane: Lane) -> list[Outcome]:
        return [run(step, quiet=lane is not lanes[0]) for step in lane]

    with concurrent.futures.ThreadPoolExecutor(len(lanes)) as pool:
        return [outcome for ran in pool.map(follow, lanes) for outcome in ran]


def run(step: Step, *, quiet: bool = False) -> Outcome:
    """Run one step and read what its tests reported."""
    print(f"\n=== {step.name}", flush=True)
    report = REPORTS / f"{step.name.replace(' ', '-').replace(chr(39), '')}.xml"
    report.unlink(missing_ok=True)
    began = time.monotonic()
    environ = dict(os.environ)
    if step.debians_etcd:
        if not debian.has_packages():
            return Outcome(step, True, 0.0, skipped=[f"{step.name}: no Debian packages here"])
        environ["ELASTICJOB_ETCD"] = str(debian.fetch("etcd-server", "etcd"))
    environ |= step.variables
    command = _command(step, report)
    kept = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if quiet else {}
    ended = subprocess.run(command, cwd=ROOT, env=environ, check=False, text=True, **kept)
    if quiet:
        print(f"\n=== {step.name} has ended\n{ended.stdout}", flush=True)
    outcome = Outcome(step, ended.returncode == 0, time.monotonic() - began)
    if step.tests:
        _read(report, outcome)
    return outcome


def _command(step: Step, report: Path) -> list[str]:
    if not step.tests:
        program, *arguments = step.command
        return [str(Path(sys.executable).parent / program), *arguments]
    folders = [f"tests/{folder}" for folder in step.tests]
    only = ["-k", step.keyword] if step.keyword else []
    spread = "loadfile" if step.by_file else "load"
    many = [f"--numprocesses={step.processes}", f"--dist={spread}"] if step.processes > 1 else []
    yielding = ["nice", "-n", "19"] if step.yields else []
    pytest = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}"]
    return [*yielding, *pytest, *only, *many, *folders]


def _read(report: Path, outcome: Outcome) -> None:
    if not report.exists():
        outcome.passed = False
        return
    for case in ET.parse(report).iter("testcase"):
        skip = case.find("skipped")
        if skip is None:
            outcome.ran += 1
        else:
            outcome.skipped.append(f"{case.get('name')}: {skip.get('message')}")
    # A group whose tests all vanished has not passed.
    outcome.passed = outcome.passed and outcome.ran > 0


def summarise(outcomes: Sequence[Outcome]) -> None:
    """Print what ran, what was skipped and why, and what failed."""
    print("\n=== Summary")
    for outcome in outcomes:
        word = "passed" if outcome.passed else "FAILED"
        tests = f", {outcome.ran} tests" if outcome.step.tests else ""
        print(f"{word}  {outcome.step.name}{tests}, {outcome.seconds:.0f} s")
    skipped = [line for outcome in outcomes for line in outcome.skipped]
    for line in skipped:
        print(f"skipped  {line}")
    failed = [outcome.step.name for outcome in outcomes if not outcome.passed]
    print(f"{sum(outcome.ran for outcome in outcomes)} tests ran, {len(skipped)} were skipped")
    print(f"FAILED: {', '.join(failed)}" if failed else "All passed.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
