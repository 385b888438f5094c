"""The training script of the digits example, run for real: it learns, saves and resumes."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "examples" / "digits" / "train.py"
SMALL = ("--width=8", "--batch-size=128")

pytest.importorskip("torch", reason="the training environment is not installed")


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("digits_train", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(script, tmp_path, monkeypatch, capfd):
    def run(*arguments):
        folder = f"--checkpoint-dir={tmp_path}"
        monkeypatch.setattr(sys, "argv", ["train.py", *SMALL, folder, *arguments])
        script.main()
        return capfd.readouterr().out.splitlines()

    return run


def test_training_goes_on_after_the_last_checkpoint(run):
    assert run("--epochs=2")[0].startswith("starting at epoch 1 of 2")
    lines = run("--epochs=3")
    assert lines[0] == "resuming after epoch 2 of 3 from rank 0, with 1 worker(s)"
    assert lines[1].startswith("epoch 3/3 ")
    assert lines[2].startswith("finished: test accuracy ")


def test_it_says_how_far_it_is_where_somebody_wants_to_know(run, tmp_path, monkeypatch):
    monkeypatch.setenv("ELASTICJOB_PROGRESS_DIR", str(tmp_path / "progress"))
    (tmp_path / "progress").mkdir()
    run("--epochs=2")
    [said] = (tmp_path / "progress").iterdir()
    assert said.name == "0.json"
    told = json.loads(said.read_text())
    assert (told["step"], told["epoch"], sorted(told["metrics"])) == (2, 2, ["accuracy", "loss"])


def test_the_same_seed_gives_the_same_losses(run, tmp_path):
    def losses():
        return [line.split()[3] for line in run("--epochs=2") if line.startswith("epoch")]

    first = losses()
    (tmp_path / "checkpoint.pt").unlink()
    assert losses() == first


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are read in /proc")
def test_no_thread_of_the_group_is_left_when_training_has_ended(tmp_path):
    """One that is left may abort the process at its exit."""
    train = f"import runpy; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    names = "print([p.read_text().strip() for p in Path('/proc/self/task').glob('*/comm')])"
    arguments = (*SMALL, "--epochs=1", f"--checkpoint-dir={tmp_path}")
    code = f"from pathlib import Path; {train}; {names}"
    told = subprocess.check_output([sys.executable, "-c", code, *arguments], text=True)
    finished, threads = told.splitlines()[-2:]
    assert finished.startswith("finished")
    assert "gloo" not in threads


def test_a_checkpoint_that_is_damaged_is_named_and_ignored(run, tmp_path, capfd):
    (tmp_path / "checkpoint.pt").write_bytes(b"damaged")
    lines = run("--epochs=1")
    assert lines[0].startswith("starting at epoch 1")


def test_a_checkpoint_cannot_run_code(script, tmp_path):
    import pickle

    class Payload:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/owned",)

    path = tmp_path / "checkpoint.pt"
    path.write_bytes(pickle.dumps({"epoch": Payload()}, protocol=2))
    assert script.read_checkpoint(path) == (b"", 0)
    assert not (tmp_path / "owned").exists()


def test_a_checkpoint_of_another_model_is_refused_in_words(run, tmp_path):
    run("--epochs=1")
    with pytest.raises(SystemExit, match="was made with --width 8, not 16"):
        run("--epochs=2", "--width=16")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs=0"], "argument --epochs: must be a whole number above zero, not '0'"),
        (["--lr=nan"], "argument --lr: must be a number above zero, not 'nan'"),
        (["--width=12"], "argument --width: must be a multiple of 8, not 12"),
        (["--checkpoint-dir=/proc/x"], "argument --checkpoint-dir: cannot write there"),
    ],
)
def test_bad_options_are_refused_by_name(script, arguments, message, capsys):
    with pytest.raises(SystemExit):
        script.parse_options(arguments)
    assert message in capsys.readouterr().err


def test_a_worker_with_an_empty_disk_gets_the_state_from_its_peer(run, tmp_path):
    """Two ranks, each with a folder of its own, as in two pods; only rank 1 has a checkpoint."""
    run("--epochs=2")
    (tmp_path / "rank1").mkdir()
    (tmp_path / "checkpoint.pt").rename(tmp_path / "rank1" / "checkpoint.pt")
    train = f"exec {sys.executable} {SCRIPT} --epochs=3 {' '.join(SMALL)}"
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    each_with_its_folder = ("--no-python", "sh", "-c", f"{train} --checkpoint-dir=rank$RANK")
    done = subprocess.run(
        [*torchrun, *each_with_its_folder],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("resuming after epoch 2 of 3 from rank 1, with 2 worker(s)")
    assert (tmp_path / "rank0" / "checkpoint.pt").exists()
