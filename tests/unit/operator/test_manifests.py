"""Jobs as the SDK reads them."""

import builders
import pytest

from elasticjob_operator.sdk import ClusterError, manifests

JOB = builders.manifest() | {"metadata": {"name": "digits", "namespace": "ml", "uid": "1"}}


def test_a_job_without_status_is_read():
    assert manifests.read(JOB).status.phase == "Pending"


def test_fields_that_are_not_known_yet_are_no_trouble():
    assert manifests.read(JOB | {"status": {"phase": "Running", "mood": "good"}}).status.phase == (
        "Running"
    )


def test_what_a_newer_operator_means_is_not_guessed():
    words = "status.phase of digits is not understood, this may be too old for its operator: "
    with pytest.raises(ClusterError, match=words):
        manifests.read(JOB | {"status": {"phase": "Pausing"}})
