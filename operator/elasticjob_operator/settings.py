"""What the operator is told by its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from elasticjob_operator import authority
from elasticjob_operator.authority import Authority

PREFIX = "ELASTICJOB_OPERATOR_"


class SettingsError(ValueError):
    """An environment variable holds what it must not."""


@dataclass(frozen=True)
class Settings:
    """The operator's own configuration.

    Attributes:
        client_image: Holds the rendezvous client that is injected into workers.
        etcd_image: Holds the etcd that is run for each job.
        image_pull_policy: For both.
        namespace: The only namespace served; all of them when empty.
        probe_port: Where liveness is answered; nowhere when 0.
        workers: How many jobs are reconciled at the same time.
        log_format: ``text`` or ``json``.
        operator_namespace: Where the operator's own pods are, which network policies let through;
            there are no such policies when empty.
        lease: Of several operators the one that holds this lease works: its namespace and name,
            as in ``system/operator``. Without it this is the only one.
        key_ref: Where the operator's own secret is kept: NAMESPACE/NAME of a Secret.
        metrics_port: Where Prometheus is answered; nowhere when 0.
        silence_limit_s: A watch on which nothing came for longer is stuck. The API server sends a
            bookmark every 60 s.
        authority: That secret. It comes not from the environment, but is read when the operator
            starts.
    """

    client_image: str = "elasticjob/client:0.1.0"
    etcd_image: str = "elasticjob/etcd:3.7.3"
    image_pull_policy: str = "IfNotPresent"
    namespace: str = ""
    probe_port: int = 8080
    workers: int = 32
    log_format: str = "text"
    operator_namespace: str = ""
    lease: str = ""
    key_ref: str = "default/elasticjob-operator-key"
    metrics_port: int = 8081
    silence_limit_s: int = 300
    authority: Authority = field(default_factory=authority.new, repr=False, compare=False)


def read(environment: Mapping[str, str]) -> Settings:
    """Read the settings from ``ELASTICJOB_OPERATOR_CLIENT_IMAGE`` and the like.

    Raises:
        SettingsError: a variable is not what it should be, or its name is not known.
    """
    texts = {
        name.removeprefix(PREFIX): value
        for name, value in environment.items()
        if name.startswith(PREFIX)
    }
    if unknown := sorted(set(texts) - set(NAMES)):
        allowed = ", ".join(PREFIX + name for name in sorted(NAMES))
        raise SettingsError(f"{PREFIX}{unknown[0]} is not known; known are {allowed}")
    return Settings(
        client_image=texts.get("CLIENT_IMAGE") or Settings.client_image,
        etcd_image=texts.get("ETCD_IMAGE") or Settings.etcd_image,
        image_pull_policy=_one_of(
            texts, "IMAGE_PULL_POLICY", Settings.image_pull_policy, PULL_POLICIES
        ),
        namespace=texts.get("NAMESPACE", Settings.namespace),
        probe_port=_number(texts, "PROBE_PORT", Settings.probe_port, 0, 65_535),
        metrics_port=_number(texts, "METRICS_PORT", Settings.metrics_port, 0, 65_535),
        silence_limit_s=_number(texts, "SILENCE_LIMIT_S", Settings.silence_limit_s, 1, 86_400),
        workers=_number(texts, "WORKERS", Settings.workers, 1, 1000),
        log_format=_one_of(texts, "LOG_FORMAT", Settings.log_format, LOG_FORMATS),
        operator_namespace=texts.get("OPERATOR_NAMESPACE", Settings.operator_namespace),
        lease=_reference(texts, "LEASE", Settings.lease),
        key_ref=_reference(texts, "KEY_REF", Settings.key_ref),
    )


NAMES = tuple(field.name.upper() for field in fields(Settings) if field.name != "authority")
"""What the variables are called behind their prefix."""

PULL_POLICIES = ("IfNotPresent", "Always", "Never")
LOG_FORMATS = ("text", "json")


def _reference(texts: Mapping[str, str], name: str, default: str) -> str:
    text = texts.get(name) or default
    namespace, _, its_name = text.partition("/")
    if text and not (namespace and its_name and "/" not in its_name):
        raise SettingsError(f"{PREFIX}{name} is {text!r}; allowed is NAMESPACE/NAME, or nothing")
    return text


def _one_of(texts: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = texts.get(name) or default
    if value not in allowed:
        raise SettingsError(f"{PREFIX}{name} is {value!r}; allowed are {', '.join(allowed)}")
    return value


def _number(texts: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = texts.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise SettingsError(f"{PREFIX}{name} is {text!r}; allowed is a number from {low} to {high}")
    return int(text)
