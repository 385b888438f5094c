"""The cluster's own certificate authority, and what it signs; keys are for their owner only."""

import datetime as dt
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = dt.timedelta(days=365)
_CLOCK_SKEW = dt.timedelta(minutes=5)


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """A certificate authority whose files lie in `folder`; `ca` is its own pair."""

    folder: Path
    ca: KeyPair

    def issue(
        self,
        file_name: str,
        common_name: str | None,
        *,
        groups: Sequence[str] = (),
        hosts: Sequence[str] = (),
    ) -> KeyPair:
        """Sign a certificate that serves as client and as server.

        Args:
            file_name: its files are `<file_name>.crt` and `.key` in the authority's folder.
            common_name: to Kubernetes, the user's name; a server needs none.
            groups: to Kubernetes, the user's groups.
            hosts: the IP addresses and DNS names it serves under.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        signer_key = serialization.load_pem_private_key(self.ca.key.read_bytes(), None)
        if not isinstance(signer_key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{self.ca.key} is not a key that this package made")
        issuer = x509.load_pem_x509_certificate(self.ca.certificate.read_bytes()).subject
        usage = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = (
            _builder(_name(common_name, groups), issuer, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_host(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        return _write(self.folder, file_name, builder.sign(signer_key, hashes.SHA256()), key)


def new_authority(folder: Path) -> Authority:
    """Make a certificate authority in a folder that exists; its files are `ca.crt` and `ca.key`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("elasticjob local cluster", ())
    certificate = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_SIGNS_ONLY, critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(folder, _write(folder, "ca", certificate, key))


def new_signing_key(folder: Path, file_name: str) -> KeyPair:
    """Make the bare key pair with which service account tokens are signed and checked."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    pair = KeyPair(folder / f"{file_name}.pub", folder / f"{file_name}.key")
    pair.certificate.write_bytes(public)
    _write_key(pair.key, key)
    return pair


_SIGNS_ONLY = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
    )


def _name(common_name: str | None, groups: Sequence[str]) -> x509.Name:
    names = [(NameOID.ORGANIZATION_NAME, group) for group in groups]
    if common_name is not None:
        names.append((NameOID.COMMON_NAME, common_name))
    return x509.Name([x509.NameAttribute(kind, name) for kind, name in names])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(
    folder: Path, file_name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> KeyPair:
    pair = KeyPair(folder / f"{file_name}.crt", folder / f"{file_name}.key")
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    _write_key(pair.key, key)
    return pair


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(pem)
