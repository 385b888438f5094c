"""Command lines of other operators' jobs as plain torchrun, without a rendezvous of their own."""

import shlex

import pytest

from elasticjob_operator.conversion import launch


def plain(line):
    said = []
    return launch.plain(shlex.split(line), said.append), said


@pytest.mark.parametrize(
    ("given", "converted"),
    [
        ("torchrun train.py --lr=1", "torchrun train.py --lr=1"),
        ("/opt/conda/bin/torchrun train.py", "torchrun train.py"),
        ("torchrun --tee 3 train.py", "torchrun --tee 3 train.py"),
        ("torchrun --rdzv_backend=c10d train.py", "torchrun train.py"),
        ("torchrun --rdzv-endpoint $(MASTER_ADDR):29400 train.py", "torchrun train.py"),
        ("torchrun --nnodes=1:4 --node_rank $(RANK) -m pkg.train", "torchrun -m pkg.train"),
        ("torchrun --standalone train.py", "torchrun train.py"),
        ("python -m torch.distributed.run train.py", "torchrun train.py"),
        ("python3 -u -m torch.distributed.launch --use_env train.py", "torchrun train.py"),
        ("python3.11 -m torchelastic.distributed.launch train.py", "torchrun train.py"),
        ("python train.py --epochs 1", "torchrun train.py --epochs 1"),
        ("python -m pkg.train", "torchrun -m pkg.train"),
    ],
)
def test_a_command_line_as_plain_torchrun(given, converted):
    assert shlex.join(plain(given)[0].words) == converted


def test_what_the_script_is_given_stays_though_it_looks_like_torchruns():
    line = "torchrun train.py --rdzv-id=1 --nnodes 2"
    launched, said = plain(line)
    assert (shlex.join(launched.words), said) == (line, [])


def test_what_is_taken_out_is_said():
    _, said = plain("torchrun --nnodes 2 --rdzv_backend=etcd --master_port=1 train.py")
    assert said == ["is without --nnodes, --rdzv-backend, --master-port: the operator says it"]


def test_processes_and_restarts_are_taken_from_the_command_line():
    launched, _ = plain("torchrun --nproc_per_node=8 --max-restarts 3 train.py")
    assert (launched.nproc, launched.max_restarts) == ("8", 3)
    assert launched.words == ("torchrun", "train.py")


def test_a_script_without_torchrun_has_one_process():
    launched, said = plain("python train.py")
    assert launched.nproc == "1"
    assert said == ["runs torchrun in place of python, with one process for each worker"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("accelerate launch train.py", "has accelerate run it: it must run torchrun"),
        ("python -O train.py", "has python run it: it must run torchrun"),
        ("uv run torchrun --nnodes=2 train.py", "has uv run it: take out --nnodes, which outweigh"),
        ("torchrun train.py --rank=$(RANK)", "speaks of RANK, which only torchrun's workers know"),
        ("bash -c 'torchrun --rdzv_id=1 train.py'", "take out --rdzv-id, which outweigh"),
        ("sh -c 'python train.py'", "it must run torchrun"),
        ("sh -c 'torchrun train.py $WORLD_SIZE'", "WORLD_SIZE is not set there"),
    ],
)
def test_what_cannot_be_rewritten_stays_and_is_said(line, words):
    launched, said = plain(line)
    assert launched.words == tuple(shlex.split(line))
    assert [words in one for one in said] == [True], said


def test_what_the_image_runs_is_not_known():
    said = []
    launch.of_image(["--rdzv_backend=c10d", "train.py"], said.append)
    assert said == [
        "is the image's: it must run torchrun, which the operator tells where to meet",
        "take out --rdzv-backend, which outweigh the operator",
    ]
