"""A job's certificates: as they are mounted into its pods, and as the operator shows them."""

from datetime import UTC, datetime

from elasticjob_operator.authority import Authority
from elasticjob_operator.stores.access import Access
from rdzv_client import etcdv3

NOW = datetime.now(UTC)
OURS = Authority(b"s" * 32)
HOST = "digits-rdzv.ml.svc"
_NAMES = {"authority": "ca.crt", "certificate": "tls.crt", "key": "tls.key"}


def files(folder, pair):
    """Lay a key pair down as a mounted Secret has it."""
    folder.mkdir()
    for part, name in _NAMES.items():
        (folder / name).write_bytes(getattr(pair, part))
    return etcdv3.TlsFiles(*(folder / name for name in _NAMES.values()))


def access(pair, host=HOST, **more):
    """What the operator shows, and whom it expects."""
    texts = (pair.authority.decode(), pair.certificate.decode(), pair.key.decode())
    return Access(*texts, host, **more)
