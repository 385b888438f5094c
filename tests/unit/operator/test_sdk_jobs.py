"""What counts as true of a job that is waited for."""

import builders
import pytest
from builders import NOW

from elasticjob_operator import api, conditions
from elasticjob_operator.sdk import JobOver, jobs


def a_job(kind, status, *, found_for, generation):
    condition = conditions.make(
        kind, status=status, reason="R", message="it is so", now=NOW, generation=found_for
    )
    job = builders.a_job(status=api.ElasticJobStatus(conditions=(condition,)))
    metadata = job.metadata.model_copy(update={"generation": generation})
    return job.model_copy(update={"metadata": metadata})


@pytest.mark.parametrize(
    ("kind", "status", "found_for", "holds"),
    [
        ("Ready", True, 2, True),
        ("Ready", False, 2, False),
        ("Ready", None, 2, False),
        ("Ready", True, 1, False),  # it was so before the job was changed
        ("Complete", True, 1, True),  # what is over stays over
    ],
)
def test_a_condition_holds_for_the_job_as_it_was_last_changed(kind, status, found_for, holds):
    job = a_job(kind, status, found_for=found_for, generation=2)
    assert jobs.holds(job, kind) is holds
    assert not jobs.holds(job, "Suspended")


def test_a_job_that_is_over_says_how():
    job = a_job("Failed", True, found_for=1, generation=1)
    assert jobs.ended(job) == "Failed"
    assert str(JobOver(job, "Failed")) == "digits is Failed: it is so"
    assert jobs.ended(a_job("Failed", False, found_for=1, generation=1)) is None
