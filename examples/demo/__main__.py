"""The demo: an ElasticJob from `kubectl apply` to a trained model, with a growth and a loss.

    python -m examples.demo            on a Kubernetes of this machine, built and started as needed
    python -m examples.demo down       remove what it made

Run it from the repository's root, or by `make demo` and `make demo-down`.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable

from examples.demo import diagnosis, lock, places, release
from examples.demo.board import StuckError
from examples.demo.commands import CommandError
from examples.demo.narrator import Narrator
from examples.demo.story import JOB, MANIFEST, RESOURCE, Story
from localcluster.errors import LocalClusterError

PLACES: dict[str, Callable[[Narrator], places.Place]] = {
    "local": places.Local,
    "current": places.Current,
    "kind": places.Kind,
}


def parse_options() -> argparse.Namespace:
    """Read the command line; exits with a message on a bad one."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.demo",
        description="Show an ElasticJob that trains, grows, loses a worker, and completes.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("action", nargs="?", choices=("up", "down"), default="up")
    parser.add_argument(
        "--cluster",
        choices=tuple(PLACES),
        default="local",
        help="local: a Kubernetes on this machine (Linux, root); current: kubectl's current "
        "context; kind: a new cluster in Docker",
    )
    parser.add_argument(
        "--image-prefix",
        default="",
        metavar="REGISTRY/PATH",
        help="where a current cluster pulls the images elasticjob/* from",
    )
    parser.add_argument(
        "--kill-rank", type=int, choices=range(3), default=0, help="which worker is killed"
    )
    options = parser.parse_args()
    if options.image_prefix and options.cluster != "current":
        parser.error("--image-prefix is for --cluster=current: the others build the images")
    return options


def show(options: argparse.Namespace, narrator: Narrator) -> None:
    """Set the cluster up and tell the story on it. Raises what they raise."""
    place = PLACES[options.cluster](narrator)
    narrator.heading(f"Setting up: the {options.cluster} cluster and the operator")
    tools = place.prepare(RESOURCE)
    try:
        release.install(tools, options.image_prefix)
    except CommandError:
        diagnosis.show_operator(tools)
        raise
    if steps := place.next_steps():
        narrator.text(["To look for yourself, in another terminal, from here on:", *steps])
    tools = dataclasses.replace(tools, narrator=Narrator())  # whose clock starts with the story
    try:
        Story(tools, read_manifest(options.image_prefix), options.kill_rank).tell()
    except (StuckError, CommandError):
        diagnosis.show_job(tools, JOB)
        raise
    narrator.heading("Next")
    narrator.text(
        [
            *place.next_steps(),
            f"kubectl get {RESOURCE} --output=wide",
            f"kubectl describe {RESOURCE}",
            "kubectl explain elasticjob.spec",
            f"make demo-down{'' if options.cluster == 'local' else f' CLUSTER={options.cluster}'}",
        ]
    )


def read_manifest(image_prefix: str) -> str:
    """The job as text, its images taken from `image_prefix` if that is given."""
    manifest = MANIFEST.read_text()
    if not image_prefix:
        return manifest
    return manifest.replace("image: elasticjob/", f"image: {image_prefix.rstrip('/')}/elasticjob/")


def main() -> int:
    """Run the demo; the exit status."""
    options = parse_options()
    narrator = Narrator()
    if not MANIFEST.is_file():
        narrator.trouble(f"{MANIFEST} is not here: run this from the repository's root")
        return 1
    try:
        with lock.held(options.cluster):
            if options.action == "down":
                PLACES[options.cluster](narrator).clear(RESOURCE)
            else:
                show(options, narrator)
    except lock.BusyError as error:
        narrator.trouble(str(error))
        return 1
    except (StuckError, CommandError, LocalClusterError) as error:
        narrator.trouble(f"The demo ends here: {error}")
        return 1
    except KeyboardInterrupt:
        narrator.trouble("interrupted; `make demo-down` removes what the demo made")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
