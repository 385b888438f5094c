"""The operator's release: installed and removed with helm, as a user does it."""

from __future__ import annotations

import json

from examples.demo.commands import CommandError, Tools

RELEASE = "elasticjob"
DEPLOYMENT = "deployment/elasticjob-operator"
PODS = "--selector=app.kubernetes.io/name=elasticjob-operator"
NAMESPACE = "elasticjob-system"
CHART = "charts/elasticjob"
INSTALL_LIMIT_S = 180
MADE_BY = "made by the demo of elasticjob"


def install(tools: Tools, image_prefix: str = "") -> None:
    """Install or upgrade the operator, and wait until it runs, from the images of now.

    A release of the same name that the demo did not make is used as it is.

    Args:
        tools: speak to the cluster.
        image_prefix: where the images elasticjob/* are, such as `registry.example/team`.

    Raises:
        CommandError: helm says why.
    """
    was_there = is_installed(tools)
    if was_there and not is_the_demos(tools):
        tools.narrator.text([f"The operator is installed here already: {RELEASE} is used as it is"])
        return
    values = (f"--set=image.prefix={image_prefix.rstrip('/')}/",) if image_prefix else ()
    tools.show(
        *("helm", "upgrade", "--install", RELEASE, CHART, f"--namespace={NAMESPACE}"),
        *("--create-namespace", "--wait", f"--timeout={INSTALL_LIMIT_S}s", "--hide-notes"),
        f"--description={MADE_BY}",
        *values,
        timeout_s=INSTALL_LIMIT_S + 30,
    )
    if was_there:  # an image may have changed under the same tag
        tools.show("kubectl", "rollout", "restart", DEPLOYMENT, f"--namespace={NAMESPACE}")
        tools.show("kubectl", "rollout", "status", DEPLOYMENT, f"--namespace={NAMESPACE}")


def is_installed(tools: Tools) -> bool:
    """Whether the release is there."""
    words = ("helm", "list", f"--namespace={NAMESPACE}", f"--filter=^{RELEASE}$", "--short")
    return bool(tools.ask(*words).strip())


def is_the_demos(tools: Tools) -> bool:
    """Whether the release, which is there, was made by the demo."""
    words = ("helm", "status", RELEASE, f"--namespace={NAMESPACE}", "--output=json")
    description: str = json.loads(tools.ask(*words))["info"]["description"]
    return description == MADE_BY


def uninstall(tools: Tools, resource: str) -> None:
    """Delete the job `resource`, and the release if the demo made it.

    Raises:
        CommandError: kubectl or helm says why.
    """
    try:
        tools.show("kubectl", "delete", resource, "--ignore-not-found", timeout_s=120)
    except CommandError as error:
        if "the server doesn't have a resource type" not in str(error):
            raise
    if not is_installed(tools):
        return
    if not is_the_demos(tools):
        tools.narrator.text([f"The release {RELEASE} was there before the demo, and stays"])
        return
    tools.show("helm", "uninstall", RELEASE, f"--namespace={NAMESPACE}")
    tools.narrator.text(
        [
            "What may be of use to others stays. To remove it, with every job of that kind:",
            "  kubectl delete crd elasticjobs.rdzv.dev",
            f"  kubectl delete namespace {NAMESPACE}",
        ]
    )
