"""Where etcd is and how to be trusted there: from a rendezvous' endpoint, options, environment."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from rdzv_client import api, etcdv3, rendezvous_settings, utils
from rdzv_client.options import OptionError

DEFAULT_PORT: Final = 2379

# Options by our name, with the other names they have in torch's two etcd backends.
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "ca": ("ca_cert", "cacert"),
    "cert": ("ssl_cert", "cert"),
    "key": ("ssl_cert_key", "key"),
    "user": ("user",),
    "password": ("password",),
    "password_file": ("password_file",),
}
OPTIONS: Final = frozenset({"protocol", *(name for names in _NAMES.values() for name in names)})
"""The names of all options that are read here, apart from ``read_timeout``."""

VARIABLES: Final[Mapping[str, str]] = {
    "ca": "RDZV_CA_FILE",
    "cert": "RDZV_CERT_FILE",
    "key": "RDZV_KEY_FILE",
    "user": "RDZV_USER",
    "password_file": "RDZV_PASSWORD_FILE",
}
"""The environment variables that stand for options: values of ``--rdzv-conf`` hold no commas."""

FOLDER: Final = "RDZV_CREDENTIALS"
"""The environment variable that names a folder with some of these files, such as a Secret."""
FILES: Final[Mapping[str, str]] = {
    "ca": "ca.crt",
    "cert": "tls.crt",
    "key": "tls.key",
    "user": "username",
    "password_file": "password",
}
"""What the files of that folder are named."""

P = ParamSpec("P")
T = TypeVar("T")

_SCHEMES: Final = {"etcd": "http", "etcds": "https", "http": "http", "https": "https"}
_OPTION: Final = "the rendezvous option "
_FILES: Final = ("ca", "cert", "key", "password_file")


def connect(
    endpoint: str,
    config: Mapping[str, Any],
    environ: Mapping[str, str],
    read_timeout_s: float,
) -> etcdv3.Client:
    """Return a client; nothing is asked of the server yet.

    ==============================  ==========================================================
    option                          meaning
    ==============================  ==========================================================
    ``protocol``                    ``http`` (default) or ``https``
    ``ca_cert``, ``cacert``         file: whom the server's certificate may come from
    ``ssl_cert``, ``cert``          file: the certificate that is shown to the server
    ``ssl_cert_key``, ``key``       file: its key
    ``user``                        of etcd's own authentication
    ``password``                    the same; in sight of who lists processes: rather
    ``password_file``               file: with the password, read again for each log-in
    ==============================  ==========================================================

    Where an option is not given, the environment counts: ``RDZV_CA_FILE``, ``RDZV_CERT_FILE``,
    ``RDZV_KEY_FILE``, ``RDZV_USER``, ``RDZV_PASSWORD_FILE``, and after these what there is in the
    folder ``RDZV_CREDENTIALS`` of ``ca.crt``, ``tls.crt``, ``tls.key``, ``username`` and
    ``password``. Certificates are read again for each new connection.

    Args:
        endpoint: ``HOST[:PORT]``, several separated by ``;`` or ``,``; a scheme ``http``,
            ``https``, ``etcd`` or ``etcds`` may stand before. Empty: localhost.
        config: The options of the rendezvous; others than these are not looked at.
        environ: The environment.
        read_timeout_s: For a request as a whole.

    Raises:
        ValueError: an option, variable or file that is not as it must be, by name.
    """
    urls = parse_endpoint(endpoint, _protocol(config))
    secure = urls[0].startswith("https:")
    given = {what: _value(what, config, environ) for what in _NAMES}
    _check(given, secure=secure)
    text = {what: value for what, (value, _) in given.items()}
    return etcdv3.Client(
        urls,
        tls=etcdv3.TlsFiles(text["ca"], text["cert"], text["key"]) if secure else None,
        user=text["user"],
        password=text["password"],
        password_file=None if text["password"] else text["password_file"],
        request_timeout_s=read_timeout_s,
    )


def from_parameters(params: api.RendezvousParameters) -> etcdv3.Client:
    """Return a client that has reached etcd.

    Args:
        params: Endpoint and options (see :func:`connect`); and ``read_timeout``, for a request as a
            whole, in seconds (60).

    Raises:
        ValueError: an option that is not as it must be.
        RendezvousConnectionError: etcd cannot be reached.
    """
    read_timeout_s = rendezvous_settings.read_timeout_of(params)
    client = connect(params.endpoint, params.config, os.environ, read_timeout_s)
    reach(client.status)
    client.close()  # it may lie idle for long, or for ever
    return client


def reach(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a method of a client.

    Raises:
        RendezvousConnectionError: it failed; with the client's error as its cause.
    """
    try:
        return call(*args, **kwargs)
    except etcdv3.EtcdError as error:
        raise api.RendezvousConnectionError(
            "The connection to etcd has failed. See inner exception for details."
        ) from error


def parse_endpoint(endpoint: str, protocol: str | None = None) -> list[str]:
    """Return the URLs of an endpoint (see :func:`connect`).

    Raises:
        ValueError: it is something else, or contradicts the protocol.
    """
    scheme, separator, addresses = endpoint.strip().rpartition("://")
    if separator and scheme not in _SCHEMES:
        raise ValueError(
            f"the rendezvous endpoint {endpoint!r} begins with {scheme!r}; allowed are "
            f"{', '.join(_SCHEMES)}, or nothing"
        )
    found = _SCHEMES.get(scheme, protocol or "http")
    if protocol not in (None, found):
        raise ValueError(f"the rendezvous endpoint {endpoint!r} contradicts protocol={protocol}")
    return [f"{found}://{address}" for address in _addresses(addresses)]


def _addresses(text: str) -> Iterable[str]:
    for part in re.split("[;,]", text):
        host, port = utils.parse_rendezvous_endpoint(part, DEFAULT_PORT)
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _protocol(config: Mapping[str, Any]) -> str | None:
    protocol = config.get("protocol")
    if protocol is None:
        return None
    found = str(protocol).strip().lower()
    if found not in ("http", "https"):
        raise ValueError("The protocol must be HTTP or HTTPS.") from OptionError(
            "protocol", protocol, "http or https"
        )
    return found


def _value(
    what: str, config: Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[str | None, str]:
    """The value, None when there is none, and the name that it was given by."""
    for name in _NAMES[what]:
        if config.get(name):
            return str(config[name]), _OPTION + name
    variable = VARIABLES.get(what, "")
    if not environ.get(variable) and (path := _in_folder(what, environ)):
        return (_read(path) if what == "user" else str(path)), str(path)
    return environ.get(variable) or None, variable or _OPTION + what


def _in_folder(what: str, environ: Mapping[str, str]) -> Path | None:
    """The file of the folder of credentials, if both are there."""
    folder = environ.get(FOLDER)
    if not folder or what not in FILES:
        return None
    if not Path(folder).is_dir():
        raise ValueError(f"{FOLDER}={folder!r} must be a folder, and there is none")
    path = Path(folder, FILES[what])
    return path if path.is_file() else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {path}: {error}") from None


def _check(given: Mapping[str, tuple[str | None, str]], *, secure: bool) -> None:
    for what in _FILES:
        path, name = given[what]
        if path is not None and not Path(path).is_file():
            raise ValueError(f"{name}={path!r} must be a file, and there is none")
    if secure:
        _check_pair(given["cert"], given["key"])
    elif given["cert"][0] or given["key"][0] or given["ca"][0]:
        names = (name for path, name in (given["ca"], given["cert"], given["key"]) if path)
        raise ValueError(f"{next(names)} is of use with protocol=https or etcds:// only")
    password = given["password"] if given["password"][0] else given["password_file"]
    if (given["user"][0] is None) != (password[0] is None):
        raise ValueError(f"{given['user'][1]} and {password[1]} belong together: give both or none")
    if given["password"][0] and _is_option(given["password_file"]):
        raise ValueError("of the rendezvous options password and password_file give only one")


def _check_pair(cert: tuple[str | None, str], key: tuple[str | None, str]) -> None:
    if key[0] and not cert[0]:
        raise ValueError(f"{key[1]} needs the certificate it belongs to: {cert[1]}")


def _is_option(given: tuple[str | None, str]) -> bool:
    return given[0] is not None and given[1].startswith(_OPTION)
