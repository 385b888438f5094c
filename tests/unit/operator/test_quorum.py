"""A store of three members: which of them is let in again, and when the store is made anew."""

import builders
import pytest
from builders import a_job, a_node, a_store_pod, seen
from decisions import kinds, planned, told

from elasticjob_operator import actions
from elasticjob_operator.store_members import StoreMember

THREE = {"etcd": {"members": 3}}
ON_DISK = {"etcd": {"members": 3, "storage": {"size": "1Gi"}}}
REFUSED = {"ready": False, "refusal": "has already been bootstrapped"}
STARTING = {"ready": False, "started": False}
PEER_URL = "https://digits-rdzv-1.digits-rdzv-peers.ml.svc:2380"


def store(*members, rendezvous=THREE):
    """A job whose store has these pods, by ordinal; None is a pod that is not there."""
    pods = [a_store_pod(ordinal=i, **pod) for i, pod in enumerate(members) if pod is not None]
    return seen(a_job(rendezvous=rendezvous)).pods(*map(builders.a_pod, range(2))).store_pods(*pods)


def initial_state(snapshot):
    """What a new pod of the store would be started with."""
    (step,) = (s for s in planned(snapshot).actions if isinstance(s, actions.Provision))
    (made,) = (m for m in step.manifests if m["kind"] == "StatefulSet")
    command = made["spec"]["template"]["spec"]["containers"][0]["command"]
    (state,) = (word for word in command if word.startswith("--initial-cluster-state="))
    return state.partition("=")[2]


def rendezvous_ready(snapshot):
    (found,) = (c for c in told(snapshot).observed.status.conditions if c.type == "RendezvousReady")
    return found.status, found.reason, found.message


# --- one member is lost ------------------------------------------------------------------------


def test_one_that_lost_its_disk_is_let_in_as_another_before_its_pod_is_made_anew():
    now = store({}, REFUSED, {})
    assert initial_state(now) == "existing"
    assert planned(now).actions[1:] == (
        actions.ReadmitMember("digits-rdzv-1", "uid-digits-rdzv-1", PEER_URL),
        actions.DeletePod(
            "digits-rdzv-1",
            "uid-digits-rdzv-1",
            "it lost its data, and comes back as a new member of the rendezvous store",
        ),
    )


ENDED = {"ready": False, "ended": True}


def place(pod, *, started):
    """A store in which this pod ended without a word, and what its place is by then."""
    member = StoreMember(7, (PEER_URL,), started=started)
    now = store({}, pod, {})
    return builders.Seen(builders.replace(now.observed, store_members=(member,)))


def test_one_whose_place_is_given_to_another_is_made_anew():
    assert kinds(place(ENDED, started=False)) == ["Provision", "ReadmitMember", "DeletePod"]
    assert kinds(place(ENDED, started=True)) == ["Provision"]
    assert kinds(place({"ready": False}, started=False)) == ["Provision"]
    nobody_knows = store({}, ENDED, {})
    assert kinds(nobody_knows) == ["Provision"]


def test_until_it_has_come_it_is_expected():
    assert initial_state(place(STARTING, started=False)) == "existing"
    assert initial_state(store({}, {}, {})) == "new"


@pytest.mark.parametrize("pod", [None, STARTING, {"ready": False}], ids=["gone", "new", "slow"])
def test_one_that_is_not_ready_is_left_to_itself(pod):
    now = store({}, pod, {})
    assert kinds(now) == ["Provision"]
    # A pod without its disk must be refused first: it would deny what it has promised.
    assert initial_state(now) == "new"


def test_nothing_is_done_about_a_pod_that_is_going_already():
    assert kinds(store({}, {**REFUSED, "deleting": True}, {})) == ["Provision"]


def test_a_store_of_one_has_nobody_who_could_refuse_it():
    assert kinds(store(REFUSED, rendezvous={})) == ["Provision"]


# --- most are lost -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "rendezvous", "anew"),
    [
        (({}, REFUSED, REFUSED), THREE, True),
        (({}, REFUSED, STARTING), THREE, True),
        (({}, REFUSED, None), THREE, True),
        (({}, REFUSED, {"ready": False}), THREE, False),
        ((STARTING, STARTING, STARTING), THREE, False),
        ((None, None, None), THREE, False),
        (({}, REFUSED, REFUSED), ON_DISK, True),
        (({}, REFUSED, STARTING), ON_DISK, False),
        (({}, REFUSED, None), ON_DISK, False),
    ],
    ids=[
        "two disks are lost",
        "one is lost, one pod is new",
        "one is lost, one pod is gone",
        "one is lost, one comes back",
        "the store starts",
        "the store is not made yet",
        "two volumes are lost",
        "one volume is lost, one pod is new",
        "one volume is lost, one pod is gone",
    ],
)
@pytest.mark.parametrize("heard", [False, True], ids=["silent", "a watch is still open"])
def test_a_store_whose_quorum_is_lost_for_good_is_made_anew(members, rendezvous, anew, heard):
    now = store(*members, rendezvous=rendezvous)
    now = now if heard else now.silent_store()
    wanted = [actions.RemoveStore((("apps/v1", "StatefulSet", "digits-rdzv"),))] if anew else []
    removed = [s for s in planned(now).actions if isinstance(s, actions.RemoveStore)]
    assert removed == wanted
    # It is made again only when its pods are going: they must not be taken for the new ones.
    assert ("Provision" in kinds(now)) is not anew


def test_without_a_quorum_nobody_can_be_let_in():
    assert kinds(store({"ready": False}, REFUSED, {"ready": False}).silent_store()) == ["Provision"]


# --- nodes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pod", "removed"),
    [({"ready": False}, ["digits-rdzv-1"]), ({}, [])],
    ids=["silent", "answers"],
)
def test_a_member_on_a_lost_node_is_removed_though_the_others_answer(pod, removed):
    now = store({}, {**pod, "node": "node-1"}, {}).nodes(a_node("node-1", unready_s=60))
    gone = [s for s in planned(now).actions if isinstance(s, actions.DeletePod)]
    assert [s.name for s in gone if "rdzv" in s.name] == removed
    assert all(s.at_once for s in gone if "rdzv" in s.name)


# --- what is told ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("snapshot", "words"),
    [
        (
            store({}, {}, {}),
            ("True", "StoreAnswers", "3 of 3 members of the rendezvous store answer"),
        ),
        (
            store({}, REFUSED, {}),
            (
                "True",
                "StoreDegraded",
                (
                    "2 of 3 members of the rendezvous store answer; digits-rdzv-1 lost its data"
                    " (has already been bootstrapped)"
                ),
            ),
        ),
        (
            store({}, None, {"ready": False}).silent_store("no leader"),
            (
                "False",
                "StoreUnreachable",
                (
                    "1 of 3 members of the rendezvous store answer; digits-rdzv-1 has no pod;"
                    " digits-rdzv-2 is not ready; no leader"
                ),
            ),
        ),
        (
            store({"ready": False}, REFUSED, None),
            (
                "False",
                "StoreUnreachable",
                (
                    "0 of 3 members of the rendezvous store answer; digits-rdzv-0 is not ready;"
                    " digits-rdzv-1 lost its data (has already been bootstrapped);"
                    " digits-rdzv-2 has no pod; more than half must"
                ),
            ),
        ),
        (
            store({}, {}, {"ready": False, "unschedulable": "0/2 nodes are available"}),
            (
                "True",
                "StoreDegraded",
                (
                    "2 of 3 members of the rendezvous store answer; digits-rdzv-2 finds no node:"
                    " 0/2 nodes are available"
                ),
            ),
        ),
    ],
    ids=["all", "one lost its disk", "most are away", "two disks are lost", "one finds no node"],
)
def test_the_status_says_how_many_members_answer(snapshot, words):
    assert rendezvous_ready(snapshot) == words
