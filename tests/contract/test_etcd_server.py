"""An etcd server that a program starts for itself."""

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import etcd_server as real
import pytest

from rdzv_client import etcdv3
from rdzv_client.etcd_server import EtcdServer, find_free_port, stop_etcd

PROGRAM = "TORCHELASTIC_ETCD_BINARY_PATH"


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where temporary folders are made; etcd's program is known."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(PROGRAM, real.program())
    return tmp_path


@pytest.fixture
def server(temporary):
    server = EtcdServer()
    yield server
    server.stop()


def script(folder, text):
    """A program in place of etcd."""
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_it_serves_from_start_to_stop(server, temporary):
    assert server.get_port() == -1
    server.start(stderr=subprocess.DEVNULL)
    assert server.get_endpoint() == f"localhost:{server.get_port()}"
    with server.get_client() as client:
        client.put("/key", b"value")
        assert client.get("/key").value == b"value"
        server.stop()
        with pytest.raises(etcdv3.ConnectionFailed):
            client.get("/key")
    assert not any(temporary.iterdir())


def test_two_of_them_run_side_by_side(server):
    server.start(stderr=subprocess.DEVNULL)
    other = EtcdServer()
    try:
        other.start(stderr=subprocess.DEVNULL)
        assert other.get_port() != server.get_port()
    finally:
        other.stop()


def test_it_can_be_started_again(server):
    server.start(stderr=subprocess.DEVNULL)
    server.stop()
    server.start(stderr=subprocess.DEVNULL)
    with server.get_client() as client:
        assert client.status().leader


def test_a_callers_folder_is_kept_with_its_data(temporary):
    folder = temporary / "mine"
    for expected in (None, b"value"):
        server = EtcdServer(str(folder))
        server.start(stderr=subprocess.DEVNULL)
        with server.get_client() as client:
            found = client.get("/key")
            assert (found and found.value) == expected
            client.put("/key", b"value")
        server.stop()
    assert folder.is_dir()


def test_a_client_of_a_server_that_was_not_started_is_refused(server):
    with pytest.raises(RuntimeError, match="call start"):
        server.get_client()


def test_a_missing_program_is_said_at_once_with_all_places(temporary, monkeypatch):
    monkeypatch.setenv(PROGRAM, "/no/such/etcd")
    monkeypatch.setenv("PATH", str(temporary))
    with pytest.raises(FileNotFoundError) as raised:
        EtcdServer().start()
    for words in ("/no/such/etcd", "bin/etcd", "PATH", "Install etcd"):
        assert words in str(raised.value)
    assert not any(temporary.iterdir())


def test_a_program_that_ends_is_told_with_its_exit_code_and_leaves_nothing(temporary, monkeypatch):
    starts = temporary / "starts"
    monkeypatch.setenv(PROGRAM, script(temporary, f"echo >> {starts}; exit 3"))
    with pytest.raises(RuntimeError, match="exit code 3"):
        EtcdServer().start(num_retries=2)
    assert starts.read_text() == "\n\n"
    assert not list(temporary.glob("etcd-*"))


def test_a_program_that_never_serves_is_ended_and_leaves_nothing(temporary, monkeypatch):
    pid = temporary / "pid"
    monkeypatch.setenv(PROGRAM, script(temporary, f"echo $$ > {pid}; exec sleep 60"))
    with pytest.raises(TimeoutError, match="does not become ready"):
        EtcdServer().start(timeout=0.5, num_retries=1)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert not list(temporary.glob("etcd-*"))


def test_a_process_that_ends_takes_its_server_along(temporary):
    program = (
        "from rdzv_client.etcd_server import EtcdServer\n"
        "server = EtcdServer(); server.start(); print(server.get_port())"
    )
    environ = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, check=True
    )
    port = int(done.stdout)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("localhost", port), 1)
    assert not list(temporary.glob("etcd-*"))


def test_a_free_port_is_held_until_it_is_given_away():
    with find_free_port() as held:
        host, port = held.getsockname()[:2]
        with socket.socket(held.family) as other, pytest.raises(OSError):
            other.bind((host, port))


def test_an_address_that_gives_no_socket_is_passed_over_for_a_port(monkeypatch):
    addresses = socket.getaddrinfo("127.0.0.1", None, type=socket.SOCK_STREAM) * 2
    made, real = iter([OSError("no more files"), None]), socket.socket

    def make(*arguments):
        if error := next(made, OSError("no more files")):
            raise error
        return real(*arguments)

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    monkeypatch.setattr(socket, "socket", make)
    with find_free_port() as held:
        assert held.getsockname()[0] == "127.0.0.1"
    with pytest.raises(RuntimeError, match=r"Failed to create a socket .*: no more files; no more"):
        find_free_port()


def test_stopping_deletes_the_folder_it_is_given(tmp_path):
    (tmp_path / "data").mkdir()
    process = subprocess.Popen(["sleep", "60"])
    stop_etcd(process, str(tmp_path / "data"))
    stop_etcd(None)
    assert process.poll() is not None
    assert not Path(tmp_path / "data").exists()
