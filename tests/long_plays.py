"""Plays on the cluster that take minutes each, and so have a target of their own."""

import os

import pytest

ONLY_WHEN_ASKED_FOR = pytest.mark.skipif(
    "ELASTICJOB_E2E_EVENTS" not in os.environ, reason="it takes minutes: `make test-events`"
)
LIMIT_S = 240
"""For what waits for an operator that comes back, or for a loaded machine."""
