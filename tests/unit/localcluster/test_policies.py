"""The agent that enforces network policies may only read, and takes its rules with it."""

import subprocess
from pathlib import Path

import pytest

from localcluster import policies
from localcluster.layout import Layout

CHAINS = ["KUBE-ROUTER-FORWARD", "KUBE-ROUTER-INPUT", "KUBE-ROUTER-OUTPUT"]


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_the_agent_may_read_and_nothing_else() -> None:
    role, binding = policies.objects().values()
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert not any("secrets" in rule["resources"] for rule in role["rules"])
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_each_object_is_applied_at_the_path_that_bears_its_name() -> None:
    for path, content in policies.objects().items():
        assert path.endswith(f"s/{content['metadata']['name']}")


def test_of_all_that_the_agent_can_do_it_runs_the_firewall_alone(tmp_path: Path) -> None:
    cluster = Layout("demo", 2, "10.201.0.0/16", tmp_path)
    command = policies.command(cluster, cluster.nodes[1], Path("kube-router"))
    runs = [word for word in command if word.startswith("--run-")]
    assert runs == ["--run-firewall=true", "--run-router=false", "--run-service-proxy=false"]
    assert "--hostname-override=demo-2" in command
    assert f"--service-cluster-ip-range={cluster.services}" in command


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_when_its_caller_ends_the_agent_ends_and_its_rules_go(tmp_path: Path, how: str) -> None:
    program(
        tmp_path / "agent", "trap 'echo ended; exit' TERM; echo runs; while :; do sleep 0.05; done"
    )
    program(tmp_path / "iptables", 'echo "$*"')
    holder = ["sleep", "infinity"] if how == "killed" else ["cat"]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as caller:
        run = subprocess.Popen(
            ["sh", "-c", policies._RUN, "agent", tmp_path / "agent"],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            stdin=caller.stdout,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert run.stdout is not None
        assert run.stdout.readline() == "runs\n"
        caller.kill() if how == "killed" else caller.communicate()
        said = run.communicate()[0].splitlines()
    assert said == ["ended", *(f"--flush {chain}" for chain in CHAINS)]
