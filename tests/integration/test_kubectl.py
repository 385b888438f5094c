"""What a user sees of a job with kubectl alone, and waits for."""

import pytest

pytestmark = pytest.mark.usefixtures("operator")


def waited(kubectl, condition):
    """Have kubectl wait for the condition; it fails the test if that takes too long."""
    return kubectl("wait", "ej/digits", f"--for=condition={condition}", "--timeout=30s")


def shown(kubectl, *flags):
    """Return what `kubectl get` prints of the job, by the names of its columns."""
    header, row = kubectl("get", "ej", *flags).splitlines()
    starts = [header.index(name) for name in header.split()]
    ends = [*starts[1:], None]
    return {
        header[start:end].strip(): row[start:end].strip()
        for start, end in zip(starts, ends, strict=True)
    }


def test_a_jobs_way_to_its_end(job, kubectl):
    digits = job(nprocPerNode=4).start()
    assert "condition met" in waited(kubectl, "Ready")
    row = shown(kubectl)
    assert list(row) == ["NAME", "PHASE", "ROUND", "WORLD", "READY", "AGE"]
    assert list(row.values())[:5] == ["digits", "Running", "1", "8", "2/2"]
    digits.end("digits-0-0", 0)
    digits.end("digits-1-0", 0)
    assert "condition met" in waited(kubectl, "Complete")
    row = shown(kubectl, "--output=wide")
    assert list(row) == [
        *("NAME", "PHASE", "ROUND", "WORLD", "READY", "AGE"),
        *("MIN", "MAX", "STEP", "SPARES", "RESTARTS", "REASON"),
    ]
    assert (row["PHASE"], row["READY"], row["REASON"]) == ("Complete", "0/2", "RoundSucceeded")


def test_a_jobs_way_to_failure(job, kubectl):
    digits = job(maxRestarts=1).start()
    digits.end("digits-1-0", 1)
    digits.until(lambda: shown(kubectl, "--output=wide")["RESTARTS"] == "1", "a restart")
    digits.until_pods("digits-0-0", "digits-1-0", "digits-1-1")
    digits.end("digits-1-1", 1)
    assert "condition met" in waited(kubectl, "Failed")
    row = shown(kubectl, "--output=wide")
    assert (row["PHASE"], row["MIN"], row["MAX"]) == ("Failed", "2", "4")
    assert (row["RESTARTS"], row["REASON"]) == ("2", "MaxRestartsExceeded")


def test_a_suspended_job(job, kubectl):
    job(runPolicy={"suspend": True})
    waited(kubectl, "Suspended")
    row = shown(kubectl, "--output=wide")
    assert (row["PHASE"], row["READY"], row["REASON"]) == ("Suspended", "0/2", "JobSuspended")
