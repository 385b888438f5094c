"""Where etcd is and how to be trusted there, from options and environment."""

import pytest

from rdzv_client import etcd_connection


@pytest.fixture
def files(tmp_path):
    """Existing files by name; what is in them is no PEM."""

    def make(name):
        path = tmp_path / name
        path.write_text(f"{name}\n")
        return str(path)

    return make


def connect(endpoint="localhost", environ=None, **config):
    return etcd_connection.connect(endpoint, config, environ or {}, 5.0)


@pytest.mark.parametrize(
    ("endpoint", "protocol", "urls"),
    [
        ("", None, ["http://localhost:2379"]),
        ("etcd", None, ["http://etcd:2379"]),
        ("10.0.0.1:1", "https", ["https://10.0.0.1:1"]),
        ("a:1;b:2,c", None, ["http://a:1", "http://b:2", "http://c:2379"]),
        ("[::1]:5", None, ["http://[::1]:5"]),
        ("etcds://a;b:2", None, ["https://a:2379", "https://b:2"]),
        ("etcd://a", "http", ["http://a:2379"]),
        ("https://a:1", None, ["https://a:1"]),
    ],
)
def test_an_endpoint_names_one_or_several_members(endpoint, protocol, urls):
    assert etcd_connection.parse_endpoint(endpoint, protocol) == urls


@pytest.mark.parametrize(
    ("endpoint", "protocol", "words"),
    [
        ("ftp://a", None, "begins with 'ftp'; allowed are etcd, etcds, http, https"),
        ("etcds://a", "http", "contradicts protocol=http"),
        ("a:b", None, "port number"),
        ("a b", None, "hostname"),
    ],
)
def test_another_endpoint_is_refused_with_what_is_allowed(endpoint, protocol, words):
    with pytest.raises(ValueError, match=words):
        etcd_connection.parse_endpoint(endpoint, protocol)


def test_user_and_password_are_taken_from_options_or_environment(files):
    secret = files("secret")
    for client in (
        connect(user="job", password="secret"),
        connect(user="job", password_file=secret),
        connect(environ={"RDZV_USER": "job", "RDZV_PASSWORD_FILE": secret}),
        connect(environ={"RDZV_USER": "other", "RDZV_PASSWORD_FILE": secret}, user="job"),
    ):
        assert client.transport.settings.user == "job"
        assert client.transport.settings.read_password() == "secret"


def test_a_password_file_is_read_again(tmp_path):
    path = tmp_path / "password"
    path.write_text("old\n")
    settings = connect(user="job", password_file=str(path)).transport.settings
    path.write_text("new\n")
    assert settings.read_password() == "new"


@pytest.mark.parametrize(
    ("config", "environ", "words"),
    [
        ({"protocol": "ftp"}, {}, "^The protocol must be HTTP or HTTPS.$"),
        ({"ca_cert": "/no"}, {}, "option ca_cert='/no' must be a file"),
        ({"cacert": "/no"}, {}, "option cacert='/no' must be a file"),
        ({}, {"RDZV_CERT_FILE": "/no"}, "RDZV_CERT_FILE='/no' must be a file"),
        ({}, {"RDZV_PASSWORD_FILE": "/no"}, "RDZV_PASSWORD_FILE='/no' must be a file"),
        ({"user": "job"}, {}, "user and RDZV_PASSWORD_FILE belong together"),
        ({"password": "x"}, {}, "RDZV_USER and the rendezvous option password belong together"),
    ],
)
def test_what_is_wrong_is_named(config, environ, words):
    with pytest.raises(ValueError, match=words):
        connect(environ=environ, **config)


def test_certificates_without_tls_are_refused(files):
    for name in ("ca_cert", "cert", "ssl_cert_key"):
        with pytest.raises(ValueError, match=f"{name} is of use with protocol=https"):
            connect(**{name: files(name)})


def test_a_key_without_its_certificate_is_refused(files):
    with pytest.raises(ValueError, match="option key needs the certificate"):
        connect("etcds://a", key=files("key"))


def test_a_file_that_is_no_certificate_is_named(files):
    ca = files("ca")
    with pytest.raises(ValueError, match=f"cannot use the CA file {ca}"):
        connect("etcds://a", environ={"RDZV_CA_FILE": ca})


def test_an_empty_password_file_is_refused(tmp_path):
    (tmp_path / "password").write_text("\n")
    with pytest.raises(ValueError, match="password is empty"):
        connect(user="job", password_file=str(tmp_path / "password"))


def test_password_and_password_file_together_are_refused(files):
    with pytest.raises(ValueError, match="password and password_file give only one"):
        connect(user="job", password="x", password_file=files("secret"))


# --- a folder of credentials, such as a Secret --------------------------------------------------


def folder_of(tmp_path, **content):
    for name, text in content.items():
        (tmp_path / name.replace("_", ".")).write_text(text)
    return {"RDZV_CREDENTIALS": str(tmp_path)}


def test_a_folder_may_hold_user_and_password(tmp_path):
    environ = folder_of(tmp_path, username="job\n", password="secret\n")
    settings = connect(environ=environ).transport.settings
    assert (settings.user, settings.read_password()) == ("job", "secret")


def test_an_empty_folder_asks_for_nothing(tmp_path):
    settings = connect(environ=folder_of(tmp_path)).transport.settings
    assert (settings.user, settings.read_password()) == (None, None)


def test_options_and_variables_go_before_the_folder(tmp_path, files):
    environ = folder_of(tmp_path, username="folder", password="folder")
    environ |= {"RDZV_USER": "variable", "RDZV_PASSWORD_FILE": files("secret")}
    settings = connect(environ=environ).transport.settings
    assert (settings.user, settings.read_password()) == ("variable", "secret")
    settings = connect(environ=environ, user="option", password="o").transport.settings
    assert (settings.user, settings.read_password()) == ("option", "o")


@pytest.mark.parametrize(
    ("content", "endpoint", "words"),
    [
        ({"username": "job"}, "a", r"username and RDZV_PASSWORD_FILE belong together"),
        ({"ca_crt": ""}, "a", r"ca.crt is of use with protocol=https or etcds:// only"),
        ({"tls_key": ""}, "etcds://a", r"tls.key needs the certificate it belongs to"),
        ({"ca_crt": "garbage"}, "etcds://a", r"cannot use the CA file .*ca.crt"),
    ],
)
def test_what_is_wrong_in_the_folder_is_named(tmp_path, content, endpoint, words):
    with pytest.raises(ValueError, match=words):
        connect(endpoint, environ=folder_of(tmp_path, **content))


def test_a_folder_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="RDZV_CREDENTIALS='/nowhere' must be a folder"):
        connect(environ={"RDZV_CREDENTIALS": "/nowhere"})
