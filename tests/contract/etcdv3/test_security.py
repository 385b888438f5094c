"""TLS, client certificates, users and rights, against a real etcd that asks for all of them."""

import time

import etcd_server
import pytest

from rdzv_client import etcdv3
from rdzv_client.etcdv3 import messages

JOB = messages.prefix("/job/")


watched = pytest.mark.skipif(
    etcd_server.version() < (3, 5), reason="etcd 3.4 passes no user's token on to watches"
)


@pytest.fixture
def job(secure_etcd, connect):
    return connect(secure_etcd.url, tls=secure_etcd.tls, user="job", password="job-secret")


def test_a_user_with_a_certificate_works_within_its_rights(job):
    job.put("/job/a", b"1")
    assert job.get("/job/a").value == b"1"
    lease = job.grant(10)
    assert job.keep_alive(lease) == 10
    job.revoke(lease)


@watched
def test_what_is_outside_of_the_rights_is_denied(job, follow):
    for attempt in (lambda: job.get("/other"), lambda: job.put("/other", b"")):
        with pytest.raises(etcdv3.PermissionDenied):
            attempt()
    ended = follow(job, messages.prefix("/other")).until_ended()
    assert isinstance(ended, etcdv3.PermissionDenied)


@watched
def test_a_watch_works_with_user_and_certificate(job, follow):
    seen = follow(job, JOB).until(lambda seen: seen.created())
    job.put("/job/b", b"2")
    seen.until(lambda seen: ("put", "/job/b", b"2") in seen.events)
    seen.close()


@pytest.mark.skipif(etcd_server.version() >= (3, 5), reason="it can be watched")
def test_an_etcd_that_takes_no_token_for_watches_says_what_to_do(job, follow):
    ended = follow(job, JOB).until_ended()
    assert isinstance(ended, etcdv3.AuthenticationFailed)
    assert "use 3.5 or newer" in str(ended)


@watched
def test_a_large_batch_arrives_through_tls(job, follow):
    seen = follow(job, JOB).until(lambda seen: seen.created())
    job.txn([], [messages.put(f"/job/{number}", b"x" * 20_000) for number in range(50)])
    seen.until(lambda seen: len(seen.events) == 50)
    seen.close()


@watched
def test_closing_a_watch_over_tls_is_prompt(job, follow):
    seen = follow(job, JOB).until(lambda seen: seen.created())
    started_s = time.monotonic()
    seen.close()
    assert time.monotonic() - started_s < 1


@watched
def test_a_token_that_became_invalid_is_renewed_unnoticed(job, follow, secure_etcd, connect):
    root = connect(secure_etcd.url, tls=secure_etcd.tls, user="root", password="root-secret")
    same = {"name": "job", "password": "job-secret"}
    job.put("/job/a", b"1")
    old = job.transport.token()
    secure_etcd.call("/v3/auth/user/changepw", same, root.transport.token())
    job.put("/job/a", b"2")  # a write too: it was refused before anything was done
    assert job.transport.token() != old
    secure_etcd.call("/v3/auth/user/changepw", same, root.transport.token())
    follow(job, JOB).until(lambda seen: seen.created()).close()


@pytest.mark.parametrize(
    "credentials",
    [{}, {"user": "job", "password": "wrong"}, {"user": "nobody", "password": "job-secret"}],
)
def test_wrong_or_missing_credentials_are_told(secure_etcd, connect, follow, credentials):
    client = connect(secure_etcd.url, tls=secure_etcd.tls, **credentials)
    with pytest.raises((etcdv3.AuthenticationFailed, etcdv3.PermissionDenied)):
        client.put("/job/a", b"")
    ended = follow(client, JOB).until_ended()
    assert isinstance(ended, (etcdv3.AuthenticationFailed, etcdv3.PermissionDenied))


def test_credentials_that_the_server_does_not_ask_for_do_no_harm(shared_etcd, connect, follow):
    client = connect(shared_etcd.url, user="job", password="job-secret")
    client.put("a", b"1")
    follow(client, messages.one("a")).until(lambda seen: seen.created()).close()
    client.delete("a")


def test_a_server_of_another_authority_is_not_trusted(secure_etcd, connect, new_authority):
    files = new_authority("stranger").issue("client")
    with pytest.raises(etcdv3.ConnectionFailed, match="CERTIFICATE_VERIFY_FAILED") as caught:
        connect(secure_etcd.url, tls=files).put("/job/a", b"")
    assert not caught.value.ambiguous


def test_a_certificate_for_another_name_is_not_trusted(secure_etcd, connect):
    url = secure_etcd.url.replace("127.0.0.1", "localhost")
    with pytest.raises(etcdv3.ConnectionFailed, match=r"[Hh]ostname mismatch"):
        connect(url, tls=secure_etcd.tls).get("/job/a")


def test_a_client_without_certificate_is_turned_away(secure_etcd, connect, follow):
    client = connect(secure_etcd.url, tls=etcdv3.TlsFiles(ca=secure_etcd.tls.ca))
    with pytest.raises(etcdv3.ConnectionFailed):
        client.get("/job/a")


def test_plain_http_to_a_tls_port_is_told(secure_etcd, connect):
    client = connect(secure_etcd.url.replace("https", "http"))
    with pytest.raises(etcdv3.ConnectionFailed, match="closed the connection"):
        client.get("/job/a")


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"ca": "missing.crt"}, "CA file missing.crt"),
        ({"cert": "missing.crt", "key": "missing.key"}, "missing.crt with key missing.key"),
        ({"cert": "only.crt"}, "both its files"),
        ({"ca": "garbage"}, "CA file garbage"),
    ],
)
def test_wrong_files_are_told_when_the_client_is_made(files, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "garbage").write_text("no certificate")
    with pytest.raises(ValueError, match=problem):
        etcdv3.Client(["https://host:2379"], tls=etcdv3.TlsFiles(**files))


def test_a_password_is_never_shown(job):
    assert "job-secret" not in repr(job.transport.settings)
