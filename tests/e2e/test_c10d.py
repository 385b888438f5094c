"""A job whose workers meet in a TCPStore, in a host of its own that is lost and replaced."""

import json

from examples.demo import story


def host_of(job):
    """Return the UID of the host's pod."""
    pod = f"pod/{job.name}-rdzv-0"
    return json.loads(job.tools.ask("kubectl", "get", pod, "--output=json"))["metadata"]["uid"]


def answers(known):
    return known.condition("RendezvousReady").get("status") == "True"


def round_stands(known):
    return known.job["status"]["rendezvous"]["state"] == "Formed"


def test_an_empty_host_in_its_place_costs_no_round_and_no_restart(run, manifest):
    tidy = {"ttlSecondsAfterFinished": 3}
    job = run(manifest(ticking=True, rendezvous={"backend": "c10d"}, runPolicy=tidy))
    job.wait("two epochs of two workers", lambda known: story.count_epochs(known, 2) >= 2)
    before = job.known
    assert before.job["status"]["rendezvous"]["endpoint"].startswith("c10d://digits-rdzv.")
    lost = host_of(job)
    job.kill(f"{job.name}-rdzv-0")
    job.wait("its loss to be seen", lambda known: not answers(known))
    known = job.wait("another host to answer", answers)
    assert host_of(job) != lost
    so_far = story.count_epochs(known, 2)
    known = job.wait(
        "the workers to go on", lambda known: story.count_epochs(known, 2) >= so_far + 2
    )
    known = job.wait("the round to be told to the new host", round_stands)
    told = known.job["status"]["rendezvous"]
    assert [one.round for one in known.rounds] == [1], "no round"
    assert (told["round"], len(told["members"])) == (1, 2)

    job.scale(3)
    job.wait("an epoch of three workers", lambda known: story.count_epochs(known, 3) >= 1)
    known = job.wait("their round to be told", lambda known: story.is_round_of(known, 3))
    assert [one.round for one in known.rounds] == [1, 2], "the scale-out alone made another"
    restarts = known.job["status"]["restarts"]
    assert (restarts["counted"], restarts["infrastructure"]) == (0, 0)

    known = job.finish()
    words = "all 3 workers of round 2 ended with success"
    assert known.condition("Complete")["message"] == words
    job.wait_until_nothing_remains()
    assert not job.tools.ask("kubectl", "get", "elasticjobs", "--output=name"), "its time is over"
