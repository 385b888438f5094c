"""A machine is described in full before it exists, and found by what the kernel says."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localcluster import machine, paths
from localcluster.machine import Machine
from localcluster.services import Service, flags

SUPERVISE = "import json, sys; from localcluster.machine_init import _Supervisor as S; S({}).run()"


def a_machine(folder: Path) -> Machine:
    return Machine("demo-1", folder, [Service("kubelet", ("kubelet", "--v=1"))], [("ip", "link")])


def test_its_description_can_be_written_down(tmp_path: Path) -> None:
    written = json.loads(json.dumps(a_machine(tmp_path).document()))
    assert written["hostname"] == "demo-1"
    assert written["services"][0]["command"] == ["kubelet", "--v=1"]
    assert written["network"] == [["ip", "link"]]


def test_the_usual_folders_are_its_own_but_state_and_cache_stay_in_sight(tmp_path: Path) -> None:
    written = a_machine(tmp_path).document()
    assert set(written["cover"]) == {"/run", "/var/lib"}
    assert {str(paths.state()), str(paths.cache()), str(paths.REPOSITORY)} == set(written["keep"])


def test_a_process_that_only_looks_like_a_machine_is_not_taken_for_one(tmp_path: Path) -> None:
    wait = "import sys; sys.stdin.read()"
    words = [
        sys.executable,
        "-c",
        wait,
        "localcluster.machine_init",
        str(tmp_path / "machine.json"),
    ]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        assert machine.find(tmp_path) is None
        assert machine.running(tmp_path) == {}
        assert machine.end(tmp_path) is False
        assert process.poll() is None
        process.communicate()


def test_what_runs_in_a_machine_is_entered_through_all_its_namespaces() -> None:
    words = machine.enter(4711, "ip", "link")
    assert words[:2] == ["nsenter", "--target=4711"]
    assert words[-2:] == ["ip", "link"]
    assert {"--mount", "--net", "--pid"} <= set(words)


def test_restarts_are_counted_by_service(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    assert machine.restarts(tmp_path, "kubelet") == 0
    (tmp_path / "log" / "machine.log").write_text(
        "10:00:00 kubelet ended with 1; starting it again\n"
        "10:00:01 kube-proxy ended with -9; starting it again\n"
        "10:00:02 kubelet ended with 1; starting it again\n"
    )
    assert machine.restarts(tmp_path, "kubelet") == 2


def test_a_service_that_ends_is_started_again_and_one_that_waits_for_a_path_comes_after_it(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    socket, done = tmp_path / "socket", tmp_path / "done"
    first = Service("first", ("/bin/sh", "-c", f"echo came; test -e {socket} || touch {socket}"))
    second = Service("second", ("/bin/sh", "-c", f"test -e {socket} && touch {done}; sleep 2"),
                     after=str(socket))  # fmt: skip
    spec = {"logs": str(folder), "services": [first.document(), second.document()]}
    words = [sys.executable, "-c", SUPERVISE.format("json.loads(sys.argv[1])"), json.dumps(spec)]
    environment = {**os.environ, "PYTHONPATH": str(paths.REPOSITORY)}
    with (folder / "machine.log").open("w") as log:
        process = subprocess.Popen(words, env=environment, stderr=log, process_group=0)
    try:
        until(lambda: done.exists() and (folder / "first.log").read_text().count("came") > 1)
    finally:
        process.kill()
        process.wait()
    assert machine.restarts(tmp_path, "first") >= 1


def until(true: object, timeout_s: float = 30.0) -> None:
    assert callable(true)
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < timeout_s
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("value", "words"),
    [(True, "--leader-elect=true"), (False, "--leader-elect=false"), (3, "--leader-elect=3")],
)
def test_flags_are_spelt_as_go_programs_read_them(value: object, words: str) -> None:
    assert flags(leader_elect=value) == (words,)
