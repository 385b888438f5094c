"""The operator as a process, and what it says and asks for."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

from kubectl import LIMIT_S, until

from benchmarks.scale import audit


class Operator:
    """The operator's process, under a name of its own."""

    def __init__(self, plane, kubectl, log, *, groups=("system:masters",), server=None, **settings):
        self._log = log
        self._calls_log, self._began = audit.log(plane.folder.parent), time.time()
        path = log.with_suffix(".kubeconfig")
        kubeconfig = plane.kubeconfig_for(audit.USER, path=path, groups=groups)
        if server:  # it stands before the API server
            kubeconfig.write_text(kubeconfig.read_text().replace(plane.url, server))
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "ELASTICJOB_OPERATOR_NAMESPACE": kubectl.namespace,
            "ELASTICJOB_OPERATOR_KEY_REF": f"{kubectl.namespace}/elasticjob-operator-key",
            "ELASTICJOB_OPERATOR_PROBE_PORT": "0",
            "ELASTICJOB_OPERATOR_METRICS_PORT": "0",
            **{f"ELASTICJOB_OPERATOR_{name}": value for name, value in settings.items()},
        }
        self._process = None

    def start(self):
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "elasticjob_operator"], env=self._environment, stderr=log
            )

    def is_alive(self):
        return self._process.poll() is None

    def kill(self):
        self._process.kill()
        self._process.wait()

    def send(self, number):
        """Send it this signal."""
        self._process.send_signal(number)

    def stop(self):
        """Ask it to end; return its exit status."""
        self.send(signal.SIGTERM)
        return self.wait()

    def wait(self):
        """Return its exit status."""
        return self._process.wait(timeout=LIMIT_S)

    @property
    def log(self):
        return self._log.read_text()

    def until_logged(self, words, limit_s=LIMIT_S):
        until(lambda: words in self.log, f"the operator to say: {words}", limit_s)

    def calls(self):
        """Return what it has asked of the API server, as the server itself tells it."""
        return audit.read(self._calls_log, self._began)


@contextmanager
def operating(plane, kubectl, folder, name="operator", **settings):
    """An operator of kubectl's namespace."""
    operator = Operator(plane, kubectl, folder / f"{name}.log", **settings)
    operator.start()
    yield operator
    operator.kill()
    print(operator.log)
    assert "the operator has a fault here" not in operator.log
