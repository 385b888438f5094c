"""The operator's one secret, and what is derived from it: certificates and tokens of single jobs.

Every job has an authority of its own, so what one job was given means nothing to another's store.
All of it is a function of the secret and the job: the same operator, or the next one, derives it
again whenever it is asked, and never has to read back what it gave away.
"""

from __future__ import annotations

import functools
import hmac
import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SEED_BYTES: Final = 32
LIFETIME: Final = timedelta(days=3652)
"""No job lives so long, and its certificates are of no use after it."""
CLOCK_SKEW: Final = timedelta(minutes=10)

STORE: Final = "store"
WORKER: Final = "worker"
OPERATOR: Final = "operator"

_CURVE: Final = ec.SECP256R1()
_CURVE_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True)
class KeyPair:
    """A certificate, its private key, and whom the other side's must come from; all PEM."""

    authority: bytes
    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class Authority:
    """The secret. Who holds it can be the operator to every job's store."""

    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.seed) != SEED_BYTES:
            raise ValueError(f"the seed has {len(self.seed)} bytes; it must have {SEED_BYTES}")

    def token(self, job_uid: str) -> str:
        """Return a bearer token by which the operator is known to what runs for this job alone."""
        return self._derive("token", job_uid)[:32].hex()

    def fingerprint(self, job_uid: str) -> str:
        """Return ten characters that are others for another job, or another secret."""
        return self._derive("fingerprint", job_uid).hex()[:10]

    def store(self, job_uid: str, created_at: datetime, hosts: Iterable[str]) -> KeyPair:
        """Return what a job's store shows of itself: to clients, to its peers, and to itself.

        Args:
            job_uid: The job.
            created_at: When it was created.
            hosts: The DNS names and IP addresses under which it is reached.
        """
        return _issue(self, job_uid, created_at, STORE, tuple(hosts))

    def worker(self, job_uid: str, created_at: datetime) -> KeyPair:
        """Return what a job's workers show to its store; no server can be run with it."""
        return _issue(self, job_uid, created_at, WORKER, ())

    def operator(self, job_uid: str, created_at: datetime) -> KeyPair:
        """Return what the operator shows to a job's store; it is given to nobody."""
        return _issue(self, job_uid, created_at, OPERATOR, ())

    def _derive(self, *purpose: str) -> bytes:
        """Return 64 bytes that tell nothing about the seed, nor about those of other purposes."""
        return hmac.digest(self.seed, "\0".join(purpose).encode(), "sha512")

    def _key(self, *purpose: str) -> ec.EllipticCurvePrivateKey:
        # Twice as many bits as the order has: no scalar is likelier than another.
        number = int.from_bytes(self._derive("key", *purpose), "big")
        return ec.derive_private_key(number % (_CURVE_ORDER - 1) + 1, _CURVE)

    def _serial(self, *purpose: str) -> int:
        return int.from_bytes(self._derive("serial", *purpose)[:16], "big") + 1


def new() -> Authority:
    """Return one that nobody has ever had."""
    return Authority(os.urandom(SEED_BYTES))


@functools.lru_cache(maxsize=4096)
def _issue(
    authority: Authority, job_uid: str, created_at: datetime, role: str, hosts: tuple[str, ...]
) -> KeyPair:
    key, signer = authority._key(job_uid, role), authority._key(job_uid)  # noqa: SLF001 - its part
    issuer, serial = _name(job_uid), authority._serial(job_uid, role, *hosts)  # noqa: SLF001
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if role == STORE:
        # etcd's HTTP gateway, and its members among each other, are clients of it, too.
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
    builder = (
        _builder(_name(role), issuer, key, created_at, serial)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(_issued_by(signer), critical=False)
    )
    if hosts:
        names = x509.SubjectAlternativeName([_host(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    root = (
        _builder(issuer, issuer, signer, created_at, authority._serial(job_uid))  # noqa: SLF001
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(signer.public_key()), False)
    )
    return KeyPair(_signed(root, signer), _signed(builder, signer), _pem(key))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    created_at: datetime,
    serial: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(created_at - CLOCK_SKEW)
        .not_valid_after(created_at + LIFETIME)
    )


def _signed(builder: x509.CertificateBuilder, signer: ec.EllipticCurvePrivateKey) -> bytes:
    certificate = builder.sign(signer, hashes.SHA256(), ecdsa_deterministic=True)
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _issued_by(signer: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
