"""Kubeconfig files: where an API server is, and as whom to talk to it."""

import base64
import json
import os
from pathlib import Path
from typing import Any

from localcluster.certificates import KeyPair


def document(server: str, authority: Path, identity: KeyPair, name: str) -> dict[str, Any]:
    """Return a kubeconfig that needs no other file; `name` is that of its context."""
    cluster = {"server": server, "certificate-authority-data": _base64(authority)}
    user = {
        "client-certificate-data": _base64(identity.certificate),
        "client-key-data": _base64(identity.key),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def write(path: Path, content: dict[str, Any]) -> Path:
    """Write a kubeconfig that only its owner can read, and return its path."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=2)  # JSON is YAML
    return path


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
