"""What a job costs the API server: counted by the server itself, in calls and never in seconds."""

from benchmarks.scale import audit

PODS = 12
PER_JOB = 16
"""Besides the pods: what is made for a job, its events, and its status, however large it is."""


def test_a_job_costs_one_call_for_each_pod_and_a_few_for_itself(operator, job):
    names = [f"digits-{i}-0" for i in range(PODS)]
    many = job(replicas=PODS, maxReplicas=PODS)
    many.until_pods(*names)
    many.run(*names)
    many.join(*names)
    many.form(1, *names)
    many.until_condition("Ready", "RoundFormed")

    calls = operator.calls()
    by_kind = audit.by_kind(calls)
    assert by_kind["create pods"] == PODS
    about_jobs = [call for call in calls if call.verb not in {"list", "watch"} and call.what]
    assert len(about_jobs) <= PODS + PER_JOB, by_kind
    writes = [call for call in calls if call.is_status_write]
    assert audit.most_within(writes, 1.0) == 1, writes

    # A pod that ends is told once, and so is the round that is formed without it.
    before = len(writes)
    many.end(names[-1], 137)
    many.until_pods(*names, f"digits-{PODS - 1}-1")
    many.until(lambda: "WorkersReplaced" in many.reasons(), "the event of the replacement")
    writes = [call for call in operator.calls() if call.is_status_write]
    assert len(writes) - before <= 3, writes
    assert audit.most_within(writes, 1.0) == 1, writes
    # Whatever came, it was heard by the watches: nothing was listed but once, at the start.
    assert sum(call.verb == "list" and call.what == "pods" for call in operator.calls()) == 1


def test_a_leader_at_rest_only_renews_its_lease(operators, kubectl, job):
    """Five renewals in a row are ten seconds without a list, a write or any other call."""
    operator = operators(LEASE=f"{kubectl.namespace}/operator")
    digits = job().start()

    def last_calls():
        return [f"{call.verb} {call.what}" for call in operator.calls()[-5:]]

    digits.until(lambda: last_calls() == ["update leases"] * 5, "nothing but renewals")
