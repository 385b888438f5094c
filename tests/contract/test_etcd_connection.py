"""What is injected into a pod opens an etcd that asks for certificates and passwords."""

import shutil
from pathlib import Path

import pytest

from rdzv_client import etcd_connection, etcdv3


@pytest.fixture
def pod(secure_etcd, tmp_path):
    """The files of a pod, and the environment that names them."""
    password = tmp_path / "password"
    password.write_text("job-secret\n")
    named = {"RDZV_CA_FILE": "ca", "RDZV_CERT_FILE": "cert", "RDZV_KEY_FILE": "key"}
    for name in named.values():
        shutil.copy(getattr(secure_etcd.tls, name), tmp_path / name)
    files = {variable: str(tmp_path / name) for variable, name in named.items()}
    return {**files, "RDZV_USER": "job", "RDZV_PASSWORD_FILE": str(password)}


@pytest.fixture
def enter(secure_etcd):
    """Connect with an environment, and with options."""
    clients = []

    def enter(environ, scheme="etcds", **config):
        endpoint = f"{scheme}://127.0.0.1:{secure_etcd.port}"
        clients.append(etcd_connection.connect(endpoint, config, environ, 5.0))
        return clients[-1]

    yield enter
    for client in clients:
        client.close()


def test_the_environment_opens_it(pod, enter):
    client = enter(pod)
    client.put("/job/key", b"value")
    assert client.get("/job/key").value == b"value"


def test_a_mounted_secret_opens_it(pod, enter, tmp_path):
    names = {"ca": "ca.crt", "cert": "tls.crt", "key": "tls.key"}
    for old, new in names.items():
        (tmp_path / old).rename(tmp_path / new)
    (tmp_path / "username").write_text("job")
    client = enter({"RDZV_CREDENTIALS": str(tmp_path)})
    client.put("/job/key", b"value")
    assert client.get("/job/key").value == b"value"


@pytest.mark.parametrize("names", ["ssl_cert ssl_cert_key ca_cert", "cert key cacert"])
def test_options_of_either_vocabulary_open_it(pod, enter, names):
    files = [pod[f"RDZV_{name}_FILE"] for name in ("CERT", "KEY", "CA")]
    client = enter(
        {},
        "https",
        user="job",
        password="job-secret",
        **dict(zip(names.split(), files, strict=True)),
    )
    assert client.get("/job/nothing") is None


@pytest.mark.parametrize(
    ("missing", "error"),
    [
        (["RDZV_CA_FILE"], etcdv3.ConnectionFailed),
        (["RDZV_CERT_FILE", "RDZV_KEY_FILE"], etcdv3.ConnectionFailed),
        (["RDZV_USER", "RDZV_PASSWORD_FILE"], etcdv3.EtcdError),
    ],
)
def test_without_one_of_them_it_stays_closed(pod, enter, missing, error):
    with pytest.raises(error):
        enter({name: value for name, value in pod.items() if name not in missing}).get("/job/key")


def test_a_password_that_is_changed_in_its_file_is_used_at_the_next_log_in(
    pod, enter, secure_etcd, connect
):
    client = enter(pod)
    client.get("/job/key")
    root = connect(secure_etcd.url, tls=secure_etcd.tls, user="root", password="root-secret")
    change = {"name": "job", "password": "new-secret"}
    secure_etcd.call("/v3/auth/user/changepw", change, root.transport.token())
    Path(pod["RDZV_PASSWORD_FILE"]).write_text("new-secret")
    client.get("/job/key")
    back = {"name": "job", "password": "job-secret"}
    secure_etcd.call("/v3/auth/user/changepw", back, root.transport.token())


def test_renewed_certificates_are_used_for_new_connections(pod, enter, secure_etcd):
    client = enter(pod)
    client.get("/job/key")
    for variable in ("RDZV_CERT_FILE", "RDZV_KEY_FILE"):
        Path(pod[variable]).write_text("no PEM")
    client.close()
    with pytest.raises(etcdv3.ConnectionFailed, match="cannot use the certificate"):
        client.get("/job/key")
    shutil.copy(secure_etcd.tls.cert, pod["RDZV_CERT_FILE"])
    shutil.copy(secure_etcd.tls.key, pod["RDZV_KEY_FILE"])
    client.get("/job/key")
