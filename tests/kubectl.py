"""kubectl, as tests use it against an API server of their own."""

import json
import os
import subprocess
import time
import uuid
from contextlib import contextmanager

from localcluster import binaries

LIMIT_S = 30.0
LOOK_AGAIN_S = 0.1


def until(condition, what, limit_s=LIMIT_S):
    """Return the condition's first true value."""
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {limit_s:.0f} s for {what}, in vain"
        time.sleep(LOOK_AGAIN_S)
    return value


class Kubectl:
    """kubectl, in one namespace."""

    def __init__(self, kubeconfig, namespace="default"):
        self.kubeconfig, self.namespace = kubeconfig, namespace
        self._program = binaries.ensure(["kubectl"])["kubectl"]

    def tried(self, *arguments, given=None):
        return subprocess.run(
            [self._program, f"--namespace={self.namespace}", *arguments],
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            input=given,
            text=True,
            capture_output=True,
            check=False,
        )

    def __call__(self, *arguments, given=None):
        done = self.tried(*arguments, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, manifest):
        """Return the API server's words about what it does not take."""
        done = self.tried("create", "--filename=-", given=json.dumps(manifest))
        assert done.returncode != 0, f"this was taken: {manifest}"
        return done.stderr

    def create(self, manifest):
        self("create", "--filename=-", given=json.dumps(manifest))

    def get(self, kind, name=None):
        """Return the object, or None; without a name the list."""
        done = self.tried("get", kind, *([name] if name else []), "--output=json")
        if done.returncode != 0:
            return None
        found = json.loads(done.stdout)
        return found if name else found["items"]

    def names(self, kind):
        return sorted(found["metadata"]["name"] for found in self.get(kind))

    def patch_status(self, kind, name, status):
        patch = json.dumps({"status": status})
        self("patch", kind, name, "--subresource=status", "--type=merge", f"--patch={patch}")


@contextmanager
def a_namespace(plane):
    """kubectl in a namespace of its own, which goes with the test."""
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    Kubectl(plane.kubeconfig)("create", "namespace", namespace)
    kubectl = Kubectl(plane.kubeconfig, namespace)
    until(lambda: kubectl.get("serviceaccount", "default"), "the namespace's own account")
    yield kubectl
    Kubectl(plane.kubeconfig)("delete", "namespace", namespace, "--wait=false")
