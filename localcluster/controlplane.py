"""The control plane: etcd, the API server, the controllers and the scheduler.

`running()` offers etcd and the API server alone, on loopback and as any user, for tests that need
a real Kubernetes API but no nodes; it takes about four seconds.
"""

import dataclasses
import ipaddress
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster import binaries, certificates, kubeconfig, services
from localcluster.api import Api
from localcluster.progress import wait_until
from localcluster.services import Service, flags

READY_TIMEOUT_S = 90.0
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """The ports of a control plane; the defaults are the usual ones."""

    api: int = 6443
    etcd: int = 2379
    etcd_peer: int = 2380
    controllers: int = 10257
    scheduler: int = 10259


@dataclass(frozen=True)
class ControlPlane:
    """Where a control plane lives. `prepare()` fills its folder.

    Attributes:
        name: that of the cluster and of the kubeconfig's context.
        folder: holds certificates, kubeconfigs, etcd's data and the logs.
        address: where the API server listens; etcd always listens on loopback only.
        service_network: the addresses of services, such as "10.0.240.0/20".
        ports: all of them are fixed beforehand.
    """

    name: str
    folder: Path
    address: str
    service_network: str
    ports: Ports = Ports()

    @property
    def url(self) -> str:
        """Where the API server answers."""
        return f"https://{self.address}:{self.ports.api}"

    @property
    def etcd_url(self) -> str:
        """Where etcd answers, to processes in the same network namespace."""
        return f"http://{LOOPBACK}:{self.ports.etcd}"

    @property
    def pki(self) -> Path:
        """Holds the certificates and keys."""
        return self.folder / "pki"

    @property
    def logs(self) -> Path:
        """Holds a log of each service."""
        return self.folder / "log"

    @property
    def open_for_clients(self) -> Path:
        """Exists once the API server answers and knows the clients that run beside it."""
        return self.folder / "open-for-clients"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.folder / "kubeconfig"

    @property
    def authority(self) -> certificates.Authority:
        """Signs every certificate of the cluster."""
        ca = certificates.KeyPair(self.pki / "ca.crt", self.pki / "ca.key")
        return certificates.Authority(self.pki, ca)

    @property
    def api(self) -> Api:
        """The API server, as the administrator sees it."""
        admin = certificates.KeyPair(self.pki / "admin.crt", self.pki / "admin.key")
        return Api(self.url, self.authority.ca.certificate, admin)

    def kubeconfig_for(self, user: str, *, path: Path, groups: Sequence[str] = ()) -> Path:
        """Write a kubeconfig for one of the cluster's own users, and return its path."""
        identity = self.authority.issue(user.removeprefix("system:"), user, groups=groups)
        certificate = self.authority.ca.certificate
        content = kubeconfig.document(self.url, certificate, identity, self.name)
        return kubeconfig.write(path, content)


def prepare(plane: ControlPlane) -> None:
    """Make the folders, certificates and kubeconfigs; those of an earlier call are replaced."""
    for folder in (plane.folder, plane.pki, plane.logs):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = certificates.new_authority(plane.pki)
    certificates.new_signing_key(plane.pki, "service-accounts")
    service_address = str(ipaddress.ip_network(plane.service_network)[1])
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")
    hosts = (plane.address, service_address, LOOPBACK, *names)
    authority.issue("apiserver", "kube-apiserver", hosts=hosts)
    authority.issue("kubelet-client", "kube-apiserver-kubelet-client", groups=["system:masters"])
    plane.kubeconfig_for("admin", path=plane.kubeconfig, groups=["system:masters"])
    for name in ("kube-controller-manager", "kube-scheduler"):
        plane.kubeconfig_for(f"system:{name}", path=plane.folder / f"{name}.kubeconfig")


def etcd(plane: ControlPlane, program: Path) -> Service:
    """Return etcd, on loopback, without waiting for the disk: the cluster is a throw-away."""
    peer = f"http://{LOOPBACK}:{plane.ports.etcd_peer}"
    arguments = flags(
        name=plane.name,
        data_dir=plane.folder / "etcd",
        listen_client_urls=plane.etcd_url,
        advertise_client_urls=plane.etcd_url,
        listen_peer_urls=peer,
        initial_advertise_peer_urls=peer,
        initial_cluster=f"{plane.name}={peer}",
        unsafe_no_fsync=True,
        log_level="warn",
    )
    return Service("etcd", (str(program), *arguments))


def apiserver(
    plane: ControlPlane, program: Path, *, controllers: bool = True, features: Sequence[str] = ()
) -> Service:
    """Return the API server.

    Args:
        plane: where it lives.
        program: its binary.
        controllers: without them, who make them, pods need no service account.
        features: gates that are opened; with any, the beta versions of APIs are served, too.
    """
    pki = plane.pki
    arguments = flags(
        bind_address=plane.address,
        advertise_address=plane.address,
        secure_port=plane.ports.api,
        etcd_servers=plane.etcd_url,
        service_cluster_ip_range=plane.service_network,
        tls_cert_file=pki / "apiserver.crt",
        tls_private_key_file=pki / "apiserver.key",
        client_ca_file=pki / "ca.crt",
        kubelet_client_certificate=pki / "kubelet-client.crt",
        kubelet_client_key=pki / "kubelet-client.key",
        kubelet_certificate_authority=pki / "ca.crt",
        # Nobody could look up the nodes' names.
        kubelet_preferred_address_types="InternalIP",
        service_account_issuer="https://kubernetes.default.svc",
        service_account_key_file=pki / "service-accounts.pub",
        service_account_signing_key_file=pki / "service-accounts.key",
        authorization_mode="Node,RBAC",
        enable_admission_plugins="NodeRestriction",
        disable_admission_plugins="" if controllers else "ServiceAccount",
        # A loopback address cannot stand in the endpoints of the `kubernetes` service.
        endpoint_reconciler_type="none" if plane.address == LOOPBACK else "lease",
        # No kube-proxy stands beside the API server: webhooks are called at their pods' addresses.
        enable_aggregator_routing=True,
        allow_privileged=True,
        feature_gates=_opened(features),
        runtime_config="api/beta=true" if features else "",
        profiling=False,
    )
    return Service("kube-apiserver", (str(program), *arguments))


def controller_manager(plane: ControlPlane, program: Path, *, kubelets: bool = True) -> Service:
    """Return the controllers; a node that falls silent counts as lost after 20 s, not 50.

    Without ``kubelets`` nodes are never lost: nobody would report for them.
    """
    config = plane.folder / "kube-controller-manager.kubeconfig"
    arguments = flags(
        kubeconfig=config,
        authentication_kubeconfig=config,
        authorization_kubeconfig=config,
        bind_address=plane.address,
        secure_port=plane.ports.controllers,
        leader_elect=False,
        use_service_account_credentials=True,
        service_account_private_key_file=plane.pki / "service-accounts.key",
        root_ca_file=plane.pki / "ca.crt",
        tls_cert_file=plane.pki / "apiserver.crt",
        tls_private_key_file=plane.pki / "apiserver.key",
        cluster_signing_cert_file=plane.pki / "ca.crt",
        cluster_signing_key_file=plane.pki / "ca.key",
        node_monitor_grace_period="20s",
        node_monitor_period="2s",
        # Autoscalers are looked at every 2 s, not 15.
        horizontal_pod_autoscaler_sync_period="2s",
        controllers="*" if kubelets else "*,-node-lifecycle-controller",
        profiling=False,
    )
    command = (str(program), *arguments)
    return Service("kube-controller-manager", command, after=str(plane.open_for_clients))


def scheduler(plane: ControlPlane, program: Path, *, features: Sequence[str] = ()) -> Service:
    """Return the scheduler."""
    config = plane.folder / "kube-scheduler.kubeconfig"
    arguments = flags(
        kubeconfig=config,
        authentication_kubeconfig=config,
        authorization_kubeconfig=config,
        bind_address=plane.address,
        secure_port=plane.ports.scheduler,
        tls_cert_file=plane.pki / "apiserver.crt",
        tls_private_key_file=plane.pki / "apiserver.key",
        leader_elect=False,
        feature_gates=_opened(features),
        profiling=False,
    )
    command = (str(program), *arguments)
    return Service("kube-scheduler", command, after=str(plane.open_for_clients))


def _opened(features: Sequence[str]) -> str:
    return ",".join(f"{feature}=true" for feature in features)


def answers(plane: ControlPlane) -> bool:
    """Return whether the API server is ready and has made the namespace `default`."""
    return plane.api.responds("/readyz") and plane.api.responds("/api/v1/namespaces/default")


@contextmanager
def running(
    folder: Path,
    *,
    controllers: bool = False,
    scheduling: bool = False,
    service_network: str = "10.0.0.0/24",
    features: Sequence[str] = (),
    server_flags: Sequence[str] = (),
) -> Iterator[ControlPlane]:
    """Run a real etcd and API server on free loopback ports until the block ends.

    Needs neither root nor Linux namespaces. Its `kubeconfig` is the administrator's; its `url` and
    `etcd_url` are where the two answer. The processes end when the calling thread does, even if it
    is killed.

    Args:
        folder: an empty or new folder, for everything that they write.
        controllers: run the controllers too, for garbage collection and namespaces that end; pods
            then need a service account, as on a whole cluster.
        scheduling: run the scheduler, too, for nodes that somebody writes down and no kubelet runs.
        service_network: the addresses of services; nothing leads there.
        features: gates that are opened in the API server and the scheduler.
        server_flags: further ones of the API server.

    Raises:
        LocalClusterError: a binary cannot be built, or they do not become ready.
    """
    plane = ControlPlane("test", folder, LOOPBACK, service_network, free_ports())
    wanted = {"kube-controller-manager": controllers, "kube-scheduler": scheduling}
    programs = binaries.ensure(
        ["etcd", "kube-apiserver", *(name for name in wanted if wanted[name])]
    )
    prepare(plane)
    program = programs["kube-apiserver"]
    server = apiserver(plane, program, controllers=controllers, features=features)
    server = dataclasses.replace(server, command=(*server.command, *server_flags))
    with ExitStack() as stack:
        processes = [
            stack.enter_context(services.running(service, plane.logs))
            for service in (etcd(plane, programs["etcd"]), server)
        ]
        wait_until(
            lambda: answers(plane),
            "the API server",
            timeout_s=READY_TIMEOUT_S,
            log=plane.logs / "kube-apiserver.log",
            alive=lambda: all(process.poll() is None for process in processes),
        )
        if controllers:
            program = programs["kube-controller-manager"]
            manager = controller_manager(plane, program, kubelets=not scheduling)
            stack.enter_context(services.running(manager, plane.logs))
        if scheduling:
            chooser = scheduler(plane, programs["kube-scheduler"], features=features)
            stack.enter_context(services.running(chooser, plane.logs))
        yield plane


def free_ports() -> Ports:
    """Return loopback ports that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in dataclasses.fields(Ports)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return Ports(*(each.getsockname()[1] for each in sockets))
