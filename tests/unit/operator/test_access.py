"""What a Secret with credentials may hold, and the words for what is wrong with it."""

import pytest
from builders import JOB_UID, NOW

from elasticjob_operator.authority import Authority
from elasticjob_operator.stores import access
from elasticjob_operator.stores.access import Access

PAIR = Authority(b"s" * 32).worker(JOB_UID, NOW)
CA, CERTIFICATE, KEY = (text.decode() for text in (PAIR.authority, PAIR.certificate, PAIR.key))
LOGIN = {"username": "job\n", "password": " p4ss \n"}


def test_all_of_it_is_used():
    content = {"ca.crt": CA, "tls.crt": CERTIFICATE, "tls.key": KEY, **LOGIN}
    found = access.from_secret(content, secure=True)
    assert found == Access(CA, CERTIFICATE, KEY, user="job", password=" p4ss ")


@pytest.mark.parametrize(
    "content",
    [{"ca.crt": CA}, {"tls.crt": CERTIFICATE, "tls.key": KEY}, LOGIN, {**LOGIN, "other": "x"}],
    ids=" ".join,
)
def test_a_part_of_it_will_do(content):
    assert access.from_secret(content, secure=True) != access.NOTHING


@pytest.mark.parametrize(
    ("content", "secure", "words"),
    [
        ({"token": "x"}, True, "has none of the keys ca.crt, tls.crt, tls.key, username, password"),
        ({"tls.crt": CERTIFICATE}, True, "has tls.crt and no tls.key: they belong together"),
        ({"password": "p4ss"}, False, "has password and no username: they belong together"),
        ({"ca.crt": CA}, False, "has ca.crt, which is of use with https:// endpoints alone"),
        ({"ca.crt": "garbage"}, True, "is of no use: the authority's certificate cannot be used"),
        ({"ca.crt": "é"}, True, "is of no use: the authority's certificate cannot be used"),
        (
            {"tls.crt": CERTIFICATE, "tls.key": "garbage"},
            True,
            "is of no use: the client certificate and its key cannot be used",
        ),
    ],
)
def test_what_is_wrong_is_told(content, secure, words):
    with pytest.raises(ValueError) as caught:
        access.from_secret(content, secure=secure)
    assert words in str(caught.value)
    assert "p4ss" not in str(caught.value)
