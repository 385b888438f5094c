"""What is derived from the operator's secret: the same each time, and another for each job."""

import itertools
from datetime import timedelta

import pytest
from builders import JOB_UID, NOW
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from elasticjob_operator import authority
from elasticjob_operator.authority import Authority

OURS = Authority(b"s" * 32)
OTHERS = Authority(b"t" * 32)
HOST = "digits-rdzv.ml.svc"
HOSTS = (HOST, "127.0.0.1")
OTHER_UID = "a-job-of-another"
LATER = NOW + timedelta(days=100)


def store(owner=OURS, uid=JOB_UID):
    return owner.store(uid, NOW, HOSTS)


def every_pair(owner=OURS, uid=JOB_UID):
    return (store(owner, uid), owner.worker(uid, NOW), owner.operator(uid, NOW))


def of(pair):
    return x509.load_pem_x509_certificate(pair.certificate)


def root_of(pair):
    return x509.load_pem_x509_certificate(pair.authority)


def verify_server(pair, host):
    """Verify the store's certificate as a client that calls it by this name does."""
    policy = PolicyBuilder().store(Store([root_of(pair)])).time(LATER)
    policy.build_server_verifier(x509.DNSName(host)).verify(of(pair), [])


def test_the_same_secret_gives_the_same_to_the_same_job_each_time():
    first = every_pair()
    authority._issue.cache_clear()
    assert every_pair() == first
    assert OURS.token(JOB_UID) == Authority(b"s" * 32).token(JOB_UID)


def test_nothing_is_alike_between_two_jobs_two_secrets_or_two_parties():
    pairs = [
        *every_pair(),
        *every_pair(uid=OTHER_UID),
        *every_pair(OTHERS),
    ]
    assert len({pair.key for pair in pairs}) == len(pairs)
    assert len({pair.authority for pair in pairs}) == 3
    assert len({of(pair).serial_number for pair in pairs}) == len(pairs)
    makers = list(itertools.product((OURS, OTHERS), (JOB_UID, OTHER_UID)))
    assert len({owner.token(uid) for owner, uid in makers}) == 4
    assert len({owner.fingerprint(uid) for owner, uid in makers}) == 4


def test_each_key_belongs_to_its_certificate():
    for pair in every_pair():
        key = serialization.load_pem_private_key(pair.key, None)
        assert key.public_key() == of(pair).public_key()


def test_the_store_is_known_by_its_names_and_by_no_other():
    verify_server(store(), HOST)
    with pytest.raises(VerificationError, match="no matching subject"):
        verify_server(store(), "other-rdzv.ml.svc")


def test_only_the_store_can_be_a_server():
    usages = [
        set(of(pair).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        for pair in every_pair()
    ]
    client = {ExtendedKeyUsageOID.CLIENT_AUTH}
    assert usages == [client | {ExtendedKeyUsageOID.SERVER_AUTH}, client, client]


def test_each_party_says_which_it_is():
    names = [of(pair).subject.rfc4514_string() for pair in every_pair()]
    assert names == ["CN=store", "CN=worker", "CN=operator"]
    assert root_of(store()).subject.rfc4514_string() == f"CN={JOB_UID}"


@pytest.mark.parametrize(
    "stranger",
    [OURS.worker(OTHER_UID, NOW), OTHERS.worker(JOB_UID, NOW)],
    ids=["of another job", "of another secret"],
)
def test_another_authority_is_not_trusted(stranger):
    of(OURS.worker(JOB_UID, NOW)).verify_directly_issued_by(root_of(store()))
    with pytest.raises((ValueError, InvalidSignature)):
        of(stranger).verify_directly_issued_by(root_of(store()))


def test_a_clock_may_go_a_little_wrong_and_ten_years_are_the_limit():
    certificate = of(store())
    assert certificate.not_valid_before_utc == NOW - timedelta(minutes=10)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=3652)


def test_no_secret_is_shown_by_mistake():
    shown = repr(OURS) + "".join(map(repr, every_pair()))
    assert "ssss" not in shown
    assert "PRIVATE" not in shown


def test_a_seed_of_another_length_is_refused_in_words():
    with pytest.raises(ValueError, match="the seed has 5 bytes; it must have 32"):
        Authority(b"short")


def test_a_new_secret_is_one_that_nobody_had():
    assert authority.new() != authority.new()
