"""``python -m elasticjob_operator``: run the operator, or print the CRD."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import functools
import logging
import os
import sys
from pathlib import Path
from typing import Final

import kopf
from kopf._core.engines.peering import Identity

from elasticjob_operator import (
    api,
    asking,
    cluster,
    crd,
    endpoints,
    handlers,
    keychain,
    logs,
    metrics,
    settings,
)
from elasticjob_operator.execution import Executor
from elasticjob_operator.gauges import Gauges
from elasticjob_operator.health import Health, Starting
from elasticjob_operator.leadership import Leadership, LeadershipLost
from elasticjob_operator.reconcile import Reconciler
from elasticjob_operator.rounds import Rounds
from elasticjob_operator.watches import Watches
from elasticjob_operator.workqueue import WorkQueue

log = logging.getLogger("elasticjob_operator")

BLIND: Final = (
    "nodes may not be listed: pods on a lost node are replaced only when Kubernetes deletes them"
)


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    options = _parser().parse_args(arguments)
    if options.command == "crd":
        return _write_crd(options.output)
    try:
        chosen = settings.read(os.environ)
    except settings.SettingsError as error:
        print(f"elasticjob_operator: {error}", file=sys.stderr)  # noqa: T201
        return 2
    logs.configure(chosen.log_format)
    try:
        asyncio.run(_run(chosen))
    except (cluster.Unavailable, LeadershipLost) as error:
        log.error("%s", error)  # noqa: TRY400 - the sentence says it all
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        pass
    return 0


def _parser() -> argparse.ArgumentParser:
    names = ", ".join(settings.PREFIX + name for name in settings.NAMES)
    parser = argparse.ArgumentParser(
        prog="python -m elasticjob_operator",
        description="Runs elastic PyTorch training jobs (ElasticJob) on Kubernetes.",
        epilog=f"The operator is configured by the environment: {names}. It serves the cluster of "
        "its service account, or else of KUBECONFIG.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("run", help="run the operator (the default)")
    printer = commands.add_parser("crd", help="print the CustomResourceDefinition")
    printer.add_argument("-o", "--output", type=Path, help="write it to this file instead")
    return parser


def _write_crd(output: Path | None) -> int:
    text = crd.to_yaml()
    if output:
        output.write_text(text)
    else:
        sys.stdout.write(text)
    return 0


async def _run(chosen: settings.Settings) -> None:
    the_cluster, stores = await cluster.connect(), Rounds()
    try:
        async with endpoints.served(chosen.probe_port, endpoints.probes(Starting())):
            served = functools.partial(_served, the_cluster, chosen.namespace)
            await asking.until_answered(served, cluster.ClusterError)
            authority = await keychain.opened(the_cluster, chosen.key_ref)
            ask = the_cluster.may_see_nodes
            sees_nodes = await asking.until_answered(ask, cluster.ClusterError)
        chosen = dataclasses.replace(chosen, authority=authority)
        await _serve(the_cluster, stores, chosen, sees_nodes=sees_nodes)
    finally:
        await stores.close()
        await the_cluster.close()


async def _served(the_cluster: cluster.Cluster, namespace: str) -> None:
    """Raise ClusterError without the CRD: nobody tells of a resource that is not there yet."""
    if not await the_cluster.is_served(namespace):
        known = f"{api.PLURAL}.{api.GROUP}"
        raise cluster.ClusterError(f"the cluster does not know {known} yet: is the CRD there?")


async def _serve(
    the_cluster: cluster.Cluster, stores: Rounds, chosen: settings.Settings, *, sees_nodes: bool
) -> None:
    queue, indices, stop = WorkQueue(), handlers.Indices(), asyncio.Event()
    leadership = _leadership(the_cluster, chosen)
    watches = Watches(handlers.watched(sees_nodes=sees_nodes))
    registry = handlers.register(queue, stores, indices, watches, sees_nodes=sees_nodes)
    fenced = the_cluster.fenced(leadership.holds) if leadership else the_cluster
    executor = Executor(fenced, stores, queue.add)
    reconciler = Reconciler(fenced, stores, indices, executor, chosen)
    running = functools.partial(queue.run, reconciler.reconcile, chosen.workers)
    leads = leadership.holds if leadership else lambda: True
    metrics.REGISTRY.register(Gauges(leads, queue, watches, indices.statuses))
    health = Health(watches, queue, chosen.silence_limit_s)
    where = f"namespace {chosen.namespace}" if chosen.namespace else "all namespaces"
    log.info("serving %s in %s", api.PLURAL, where)
    if not sees_nodes:
        log.info("%s", BLIND)
    async with (
        endpoints.served(chosen.probe_port, endpoints.probes(health)),
        endpoints.served(chosen.metrics_port, endpoints.scrapes()),
    ):
        work = asyncio.create_task(leadership.lead(running) if leadership else running())
        # An operator that watches but does not work would look healthy.
        work.add_done_callback(lambda _: stop.set())
        try:
            await _watch(registry, chosen.namespace, stop)
        finally:
            if not work.done():
                work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            if leadership:
                await leadership.release()


async def _watch(registry: kopf.OperatorRegistry, namespace: str, stop: asyncio.Event) -> None:
    await kopf.operator(
        registry=registry,
        standalone=True,
        # Else kopf asks for the user's name, and a container's user may have none.
        identity=Identity("elasticjob-operator"),
        clusterwide=not namespace,
        namespaces=[namespace] if namespace else [],
        stop_flag=stop,
    )


def _leadership(the_cluster: cluster.Cluster, chosen: settings.Settings) -> Leadership | None:
    if not chosen.lease:
        return None
    namespace, _, name = chosen.lease.partition("/")
    return Leadership(the_cluster, namespace, name)


if __name__ == "__main__":
    sys.exit(main())
