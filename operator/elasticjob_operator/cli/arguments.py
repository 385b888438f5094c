"""The command line: its verbs, their arguments, and what ``--help`` says of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from elasticjob_operator.cli import verbs

EPILOG: Final = """\
exit status:
  0  it was done; of watch: the job is Complete
  1  of watch: the job is Failed
  2  the command line or a file says what cannot be done
  3  the API server refuses or does not answer, or there is no such pod
  4  of watch: --timeout ran out

`elasticjob VERB --help` has each verb's arguments.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser; what it parses has the verb's function as ``verb``."""
    top = argparse.ArgumentParser(
        prog=_program(),
        description="Look at, start and steer elastic PyTorch training jobs (ElasticJob).",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _where(top, None)
    commands = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name, (verb, words, add_arguments) in VERBS.items():
        sub = commands.add_parser(
            name,
            help=words,
            description=f"{words[0].upper()}{words[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _where(sub, argparse.SUPPRESS)  # after the verb, too, as kubectl takes them
        add_arguments(sub)
        sub.set_defaults(verb=verb)
    return top


def _program() -> str:
    called = Path(sys.argv[0]).name
    return "kubectl elasticjob" if called.startswith("kubectl-") else "elasticjob"


def _where(parser: argparse.ArgumentParser, default: Any) -> None:
    group = parser.add_argument_group("where, as kubectl takes it")
    group.add_argument("-n", "--namespace", default=default, help="the kubeconfig's if left out")
    group.add_argument(
        "--context", default=default, help="the kubeconfig's current one if left out"
    )
    group.add_argument("--kubeconfig", default=default, metavar="FILE")


# --- the verbs' own ------------------------------------------------------------------------------


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-A", "--all-namespaces", action="store_true")


def _named(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the job")


def _watch(parser: argparse.ArgumentParser) -> None:
    _named(parser)
    parser.add_argument(
        "--timeout", type=_positive, metavar="SECONDS", help="give up after so long"
    )


def _scale(parser: argparse.ArgumentParser) -> None:
    _named(parser)
    parser.add_argument("replicas", metavar="N", type=_positive, help="the workers wanted")


def _logs(parser: argparse.ArgumentParser) -> None:
    _named(parser)
    parser.add_argument(
        "--rank", type=_whole, default=0, help="the worker's rank in the last round (default: 0)"
    )
    parser.add_argument(
        "-p", "--previous", action="store_true", help="of the pod that had its place before"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on until training ends")
    parser.add_argument("--tail", type=_whole, metavar="LINES", help="only so many of the last")


def _submit(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{_program()} submit NAME --image IMAGE [options] -- COMMAND [ARGUMENT ...]"
    _named(parser)
    parser.add_argument("--image", required=True, help="has torch 2.6 or newer, and the script")
    size = parser.add_argument_group("how many workers")
    size.add_argument(
        "--min", type=_positive, default=1, help="no round with fewer of them (default: 1)"
    )
    size.add_argument("--max", type=_positive, help="most in a round (default: --min)")
    size.add_argument("--replicas", type=_positive, help="wanted now (default: --max)")
    size.add_argument("--step", type=_positive, help="of which a round's number is a multiple")
    size.add_argument("--spares", type=_whole, help="further ones that stand by for a loss")
    each = parser.add_argument_group("each of them")
    each.add_argument(
        "--nproc",
        type=_nproc,
        help="processes: a number, auto, gpu or cpu (default: --gpus, else 1)",
    )
    each.add_argument("--gpus", type=_positive, help="nvidia.com/gpu for each")
    each.add_argument("--cpu", metavar="QUANTITY", help="requested for each, such as 4")
    each.add_argument("--memory", metavar="QUANTITY", help="requested for each, such as 16Gi")
    each.add_argument(
        "--env",
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=VALUE",
        help="may be repeated",
    )
    run = parser.add_argument_group("the run")
    run.add_argument("--backend", choices=("etcd", "c10d"), help="where the workers meet")
    run.add_argument("--max-restarts", type=_whole, metavar="N")
    run.add_argument("--suspend", action="store_true", help="make no pods until it is resumed")
    run.add_argument(
        "--label", action="append", default=[], type=_pair, metavar="KEY=VALUE", help="of the job"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the job instead")
    parser.add_argument(
        "command",
        metavar="COMMAND",
        nargs="+",
        help="what each worker runs; a script that ends with .py is run by torchrun",
    )


def _convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE", help="with jobs as YAML or JSON; - is standard input"
    )


VERBS: Final[dict[str, tuple[Callable[..., int], str, Callable[[Any], None]]]] = {
    "list": (verbs.show_list, "list the jobs", _list),
    "status": (verbs.show_status, "show how a job is, who has which rank, and what failed", _named),
    "rounds": (verbs.show_rounds, "show a job's rounds: who, which rank, why, how long", _named),
    "watch": (verbs.watch, "follow a job to its end", _watch),
    "logs": (verbs.show_logs, "print the log of the worker with a rank", _logs),
    "scale": (verbs.scale, "have another number of workers", _scale),
    "suspend": (verbs.suspend, "have a job stand still", _named),
    "resume": (verbs.resume, "have a suspended job go on", _named),
    "delete": (verbs.delete, "delete a job with its pods", _named),
    "submit": (verbs.submit, "create a job from flags", _submit),
    "convert": (
        verbs.convert,
        "print a PyTorchJob, a TrainJob or pytorch/elastic's ElasticJob as an ElasticJob",
        _convert,
    ),
}


# --- types ---------------------------------------------------------------------------------------


def _positive(text: str) -> int:
    return _number(text, least=1)


def _whole(text: str) -> int:
    return _number(text, least=0)


def _number(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
    return int(text)


def _nproc(text: str) -> int | str:
    if text in {"auto", "gpu", "cpu"}:
        return text
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither a number from 1 on nor auto, gpu or cpu")


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not name or not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value
