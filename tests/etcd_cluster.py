"""Three real etcd processes with the flags that the operator gives them, each on an address."""

import random
import shutil
import subprocess
import time
import urllib.error
import urllib.request

from etcd_server import program
from job_secrets import HOST, NOW, OURS, access, files

from elasticjob_operator import stores
from elasticjob_operator.provisioning import addresses, credentials, etcd_pod, names
from elasticjob_operator.settings import Settings

LIMIT_S = 60.0
LAST_WORDS_BYTES = 2048
"""So much of a container's log becomes its termination message."""


class EtcdCluster:
    """The members of a job's store, by ordinal: started, killed, wiped as a test likes."""

    def __init__(self, folder, job):
        self.folder, self._job = folder, job
        network = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}"
        self.hosts = [f"{network}.{ordinal + 1}" for ordinal in range(len(names.members(job)))]
        uid = job.metadata.uid
        self._secret = folder / "secret"
        files(self._secret, OURS.store(uid, NOW, (HOST, *self.hosts)))
        urls = tuple(f"https://{host}:{addresses.CLIENT_PORT}" for host in self.hosts)
        self.where = stores.Etcd(urls, access(OURS.operator(uid, NOW)))
        self._processes = {}

    def start(self, *ordinals, joining=False):
        for ordinal in ordinals:
            with self._log(ordinal).open("wb") as log:
                self._processes[ordinal] = subprocess.Popen(
                    self._command(ordinal, joining=joining), stdout=log, stderr=log
                )

    def peer_url(self, ordinal):
        return f"https://{self.hosts[ordinal]}:{addresses.PEER_PORT}"

    def kill(self, ordinal):
        process = self._processes.pop(ordinal)
        process.kill()
        process.wait()

    def wipe(self, ordinal):
        """Kill it and lose its disk."""
        self.kill(ordinal)
        shutil.rmtree(self.folder / str(ordinal))

    def end_of(self, ordinal):
        """Wait until it ends; return its exit code and its last words, as the kubelet has them."""
        code = self._processes[ordinal].wait(timeout=LIMIT_S)
        return code, self._log(ordinal).read_bytes()[-LAST_WORDS_BYTES:].decode(errors="replace")

    def is_(self, ordinal, state):
        """Whether the probe of this name, `livez` or `readyz`, finds it well."""
        url = f"http://{self.hosts[ordinal]}:{addresses.HEALTH_PORT}/{state}"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def wait_until(self, state, *ordinals):
        deadline = time.monotonic() + LIMIT_S
        while not all(self.is_(ordinal, state) for ordinal in ordinals):
            assert time.monotonic() < deadline, [self._log(i).read_text()[-4000:] for i in ordinals]
            time.sleep(0.05)  # a process that is starting offers nothing to wait on

    def close(self):
        for ordinal in list(self._processes):
            self.kill(ordinal)

    def _log(self, ordinal):
        return self.folder / f"{ordinal}.log"

    def _command(self, ordinal, *, joining):
        pod = etcd_pod.spec(self._job, Settings(), joining=joining)
        host, name = self.hosts[ordinal], names.member(self._job, ordinal)
        here = {
            "$(POD_NAME)": name,
            "$(POD_UID)": f"uid-{ordinal}",
            "0.0.0.0": host,
            etcd_pod.BINARY: program(),
            credentials.STORE_FOLDER: str(self._secret),
            etcd_pod.DATA: str(self.folder / str(ordinal)),
        }
        there = {
            addresses.member_host(self._job, member): self.hosts[i]
            for i, member in enumerate(names.members(self._job))
        }
        return [_replaced(word, {**here, **there}) for word in pod["containers"][0]["command"]]


def _replaced(word, replacements):
    for old, new in replacements.items():
        word = word.replace(old, new)
    return word
