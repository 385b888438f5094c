"""The command line: `python -m localcluster --help`."""

import argparse
import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Callable

from localcluster import binaries, cluster, health, machine, policies
from localcluster.errors import LocalClusterError

_DESCRIPTION = """\
A real Kubernetes on this Linux machine, built from Go modules, without Docker or a registry.
Needs root, Go to build it once (about 12 minutes on two processors), and a few Debian packages,
which it installs itself. After `down`, nothing of it is left but the cache."""

_ENVIRONMENT = """\
environment:
  ELASTICJOB_CACHE  what may be reused: programs, images, the training environment
                    (default: ~/.cache/elasticjob)
  ELASTICJOB_STATE  its folder elasticjob/NAME holds a cluster's data and logs
                    (default: ~/.local/state)"""

Arguments = argparse.Namespace


def main() -> int:
    """Run the command that the user gave; return the exit status."""
    given = _parser().parse_args()
    try:
        status: int = given.run(given) or 0
    except LocalClusterError as error:
        print(f"localcluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("localcluster: interrupted; `up` repairs, `down` removes", file=sys.stderr)
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m localcluster",
        description=_DESCRIPTION,
        epilog=_ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(
        name: str, run: Callable[[Arguments], int | None], text: str
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=f"{text}.")
        command.add_argument("--name", default="demo", help="which cluster (default: demo)")
        command.set_defaults(run=run)
        return command

    build = commands.add_parser("build", help="build the programs that are not built yet")
    build.add_argument("program", nargs="*", help="only these (default: all)")
    build.set_defaults(run=_build)
    up = add("up", _up, "start the cluster, or repair it, and wait until it is ready")
    up.add_argument("--new", action="store_true", help="fail if there is one already")
    up.add_argument("--nodes", type=int, default=2, help="how many nodes (default: 2)")
    add("down", _down, "end the cluster and remove everything of it")
    add("status", _status, "say what runs and what answers; exit with 1 unless all does")
    add("images", _images, "build the project's images anew and import them")
    add("kubeconfig", _kubeconfig, "print the path of the administrator's kubeconfig")
    add("env", _env, "print the shell commands that set KUBECONFIG and PATH")
    stop = add("stop-node", _stop_node, "end a node at once, as pulling its plug would")
    start = add("start-node", _start_node, "start a stopped node and wait until it is ready")
    for command in (stop, start):
        command.add_argument("node", help="its name, such as demo-1")
    add("enforce", _enforce, "enforce network policies on all nodes until interrupted")
    enter = add("enter", _enter, "run a command inside a node or the control plane")
    enter.add_argument("machine", help="demo-1, demo-2, ... or control-plane")
    enter.add_argument("command", nargs=argparse.REMAINDER, help="default: a shell")
    return parser


def _build(given: Arguments) -> None:
    for path in binaries.ensure(given.program or None).values():
        print(path)


def _up(given: Arguments) -> None:
    made = cluster.up(given.name, given.nodes, new=given.new)
    print(f"export KUBECONFIG={shlex.quote(str(made.control_plane.kubeconfig))}")


def _down(given: Arguments) -> None:
    cluster.down(given.name)


def _status(given: Arguments) -> int:
    found = health.report(cluster.load(given.name))
    for line in found:
        print(line)
    return 0 if all(line.well for line in found) else 1


def _images(given: Arguments) -> None:
    cluster.bring_images(cluster.load(given.name))


def _kubeconfig(given: Arguments) -> None:
    print(cluster.load(given.name).control_plane.kubeconfig)


def _env(given: Arguments) -> None:
    kubeconfig = cluster.load(given.name).control_plane.kubeconfig
    print(f"export KUBECONFIG={shlex.quote(str(kubeconfig))}")
    print(f"export PATH={shlex.quote(str(binaries.folder()))}:$PATH")


def _stop_node(given: Arguments) -> None:
    cluster.stop_node(cluster.load(given.name), given.node)


def _start_node(given: Arguments) -> None:
    cluster.start_node(cluster.load(given.name), given.node)


def _enforce(given: Arguments) -> None:
    with policies.enforced(cluster.load(given.name)), contextlib.suppress(KeyboardInterrupt):
        signal.pause()


def _enter(given: Arguments) -> None:
    folder = cluster.load(given.name).folder / given.machine
    pid = machine.find(folder)
    if pid is None:
        raise LocalClusterError(f"no machine {given.machine} of {given.name} runs")
    command = machine.enter(pid, *(given.command or ["sh"]))
    os.execvp(command[0], command)  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    sys.exit(main())
