"""What is said of a worker that failed: the files are as torch's @record writes them."""

import json

import pytest

pytest.importorskip("torch", reason="the training environment is not installed")

STACK = (
    'Traceback (most recent call last):\n  File "train.py", line 3\nValueError: the rate is -1\n'
)


def recorded(message="ValueError: the rate is -1", stack=STACK, at="100"):
    return {"message": {"message": message, "extraInfo": {"py_callstack": stack, "timestamp": at}}}


@pytest.fixture
def failed(tmp_path):
    """Make the failure of a worker, with what stands in its error file."""
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

    def make(local_rank, code, error=None):
        path = tmp_path / f"{local_rank}.json"
        if error:
            path.write_text(json.dumps(error))
        return ProcessFailure(local_rank, 42, code, str(path))

    return make


def words(failures):
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    from rdzv_client import worker_failure

    return str(worker_failure.of_exception(ChildFailedError("train.py", failures)))


def test_a_script_that_records_is_quoted_with_the_end_of_its_traceback(failed):
    assert words({3: failed(1, 1, recorded())}).splitlines() == [
        "Worker of rank 3 (local rank 1) failed with exit code 1: ValueError: the rate is -1",
        "  | Traceback (most recent call last):",
        '  |   File "train.py", line 3',
        "  | ValueError: the rate is -1",
    ]


@pytest.mark.parametrize(
    ("code", "how"), [(7, "failed with exit code 7"), (-11, "was ended by signal 11")]
)
def test_of_a_script_that_does_not_only_its_end_is_known(failed, code, how):
    assert words({0: failed(0, code)}) == f"Worker of rank 0 (local rank 0) {how}"


@pytest.mark.parametrize(
    ("said", "words"),
    [("", "out of memory"), ("ValueError: late", "out of memory; ValueError: late")],
)
def test_a_cause_that_the_script_cannot_know_comes_first(said, words):
    from rdzv_client.worker_failure import WorkerFailure

    failure = WorkerFailure(0, 0, -9, said)
    begin = "Worker of rank 0 (local rank 0) was ended by signal 9"
    assert str(failure.because("out of memory")) == f"{begin}: {words}"
    assert failure.because("") == failure


def test_the_first_that_failed_is_named_and_not_its_peers(failed):
    first, then = recorded("ValueError: first", at="100"), recorded("RuntimeError: peer", at="103")
    assert "rank 5" in words({4: failed(0, 1, then), 5: failed(1, 1, first)})


def test_what_is_recorded_is_bounded_and_stays_in_its_line(failed):
    text = words({0: failed(0, 1, recorded("a\nb" + "x" * 9999, ("y" * 999 + "\n") * 99))})
    first, *others = text.splitlines()
    assert first.startswith("Worker of rank 0 (local rank 0) failed with exit code 1: a bxxx")
    assert all(line.startswith("  | y") for line in others)
    assert len(text) < 4096


@pytest.mark.parametrize("error", [recorded("", ""), {"message": "plain", "timestamp": 1}])
def test_other_kinds_of_error_files_are_taken(failed, error):
    assert words({0: failed(0, 1, error)}).startswith("Worker of rank 0 (local rank 0) failed")


def test_an_exception_of_torchruns_own_is_no_workers():
    from rdzv_client import worker_failure

    assert worker_failure.of_exception(ValueError("bad option")) is None
    assert worker_failure.of_exception(None) is None


# --- where it is said ----------------------------------------------------------------------------


def test_the_agent_that_calls_is_asked_for_its_workers(failed):
    from torch.distributed.elastic.agent.server.api import RunResult, WorkerState

    from rdzv_client import worker_failure

    def restart_workers():
        return worker_failure.of_caller()

    def invoke_run(result):
        return restart_workers()

    assert worker_failure.of_caller() is None
    assert invoke_run(RunResult(WorkerState.HEALTHY)) is None
    result = RunResult(WorkerState.FAILED, failures={3: failed(1, 1, recorded())})
    assert str(invoke_run(result)).startswith("Worker of rank 3 (local rank 1) failed with exit")


@pytest.fixture
def left(tmp_path):
    """What is left of a failure with these words, in a file in which this stands already."""
    from rdzv_client import worker_failure

    def left(said, there=""):
        log = tmp_path / "termination-log"
        log.write_text(there)
        failure = worker_failure.WorkerFailure(0, 0, 1, said)
        worker_failure.leave(failure, {"RDZV_TERMINATION_LOG": str(log)})
        return log.read_bytes()

    return left


def test_the_last_words_are_left_where_kubernetes_reads_them(left):
    words = b"Worker of rank 0 (local rank 0) failed with exit code 1: ValueError"
    assert left("ValueError") == words


def test_the_scripts_own_last_words_stay(left):
    assert left("ValueError", there="mine") == b"mine"


def test_of_a_script_that_records_nothing_kubernetes_takes_the_end_of_the_log(left):
    assert left("") == b""


def test_kubernetes_would_cut_off_the_beginning_of_what_is_too_long(left):
    assert len(left("\u00e4" * 4096)) == 4096


@pytest.mark.parametrize("environment", [{}, {"RDZV_TERMINATION_LOG": "/nonexistent/log"}])
def test_without_such_a_place_nothing_happens(environment):
    from rdzv_client import worker_failure

    worker_failure.leave(worker_failure.WorkerFailure(0, 0, 1, "ValueError"), environment)
