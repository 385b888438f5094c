"""The cluster's authority signs for client and server alike, and keys are kept private."""

import ipaddress
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from localcluster import certificates, kubeconfig
from localcluster.certificates import Authority, KeyPair


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return certificates.new_authority(tmp_path)


def read(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes())


def test_a_certificate_is_signed_by_the_authority_and_belongs_to_its_key(
    authority: Authority,
) -> None:
    pair = authority.issue("admin", "admin")
    certificate = read(pair)
    certificate.verify_directly_issued_by(read(authority.ca))
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    assert key.public_key() == certificate.public_key()


def test_user_and_groups_stand_where_kubernetes_looks_for_them(authority: Authority) -> None:
    subject = read(authority.issue("k", "system:node:a", groups=["system:nodes", "x"])).subject
    assert [name.value for name in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [
        "system:node:a"
    ]
    groups = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [name.value for name in groups] == ["system:nodes", "x"]


def test_a_server_is_known_by_its_addresses_and_its_names(authority: Authority) -> None:
    certificate = read(authority.issue("s", "server", hosts=["10.0.0.1", "kubernetes.default"]))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.0.0.1")]
    assert names.get_values_for_type(x509.DNSName) == ["kubernetes.default"]


def test_a_certificate_serves_as_client_and_server_but_signs_nothing(authority: Authority) -> None:
    extensions = read(authority.issue("s", "server")).extensions
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_private_keys_and_kubeconfigs_are_readable_by_their_owner_only(
    authority: Authority, tmp_path: Path
) -> None:
    admin = authority.issue("admin", "admin")
    tokens = certificates.new_signing_key(tmp_path, "service-accounts")
    content = kubeconfig.document("https://10.0.0.1:6443", authority.ca.certificate, admin, "demo")
    config = kubeconfig.write(tmp_path / "kubeconfig", content)
    for path in (authority.ca.key, admin.key, tokens.key, config):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
