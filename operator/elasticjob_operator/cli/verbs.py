"""What each verb does: ask the SDK, and print."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml

from elasticjob_operator import conversion, timeline
from elasticjob_operator.cli import job_page, listing, news, submission, terminal
from elasticjob_operator.sdk import ElasticJobs, jobs, manifests
from elasticjob_operator.timestamps import instant

Options = argparse.Namespace


def show_list(options: Options) -> int:
    with _jobs(options) as there:
        found = there.list(everywhere=options.all_namespaces)
        where = "the cluster" if options.all_namespaces else f"namespace {there.namespace}"
    if found:
        terminal.show(listing.render(found, _now(), namespaces=options.all_namespaces))
    else:
        terminal.complain(f"{where} has no ElasticJob")
    return 0


def show_status(options: Options) -> int:
    with _jobs(options) as there:
        terminal.show(job_page.render(there.get(options.name), _now()))
    return 0


def show_rounds(options: Options) -> int:
    with _jobs(options) as there:
        status = there.get(options.name).status
    rounds = status.rendezvous.history
    if not rounds:
        terminal.complain(f"{options.name} has formed no round yet")
        return 0
    picture = timeline.render_lanes(rounds, instant(status.completion_time) or _now())
    terminal.show([*timeline.render_table(rounds), *(["", *picture] if picture else ())])
    return 0


def watch(options: Options) -> int:
    told = news.Told()
    with _jobs(options) as there:
        for job in there.watch(options.name, timeout_s=options.timeout):
            lines, told = news.since(told, job, _now())
            terminal.show(lines)
            if end := jobs.ended(job):
                return 0 if end == "Complete" else 1
    raise AssertionError("a watch has no end of its own")


def show_logs(options: Options) -> int:
    with _jobs(options) as there:
        for line in there.logs(
            options.name,
            options.rank,
            previous=options.previous,
            follow=options.follow,
            tail=options.tail,
        ):
            print(line, flush=options.follow)
    return 0


def scale(options: Options) -> int:
    with _jobs(options) as there:
        there.scale(options.name, options.replicas)
    print(f"{options.name} is to have {options.replicas} workers")
    return 0


def suspend(options: Options) -> int:
    with _jobs(options) as there:
        there.suspend(options.name)
    print(f"{options.name} is to stand still")
    return 0


def resume(options: Options) -> int:
    with _jobs(options) as there:
        there.resume(options.name)
    print(f"{options.name} is to go on")
    return 0


def delete(options: Options) -> int:
    with _jobs(options) as there:
        there.delete(options.name)
    print(f"{options.name} is deleted")
    return 0


def submit(options: Options) -> int:
    manifest = manifests.write(options.name, submission.spec(options), dict(options.label))
    if options.dry_run:
        if options.namespace:
            manifest["metadata"]["namespace"] = options.namespace
        _print_yaml([manifest])
        return 0
    with _jobs(options) as there:
        created = there.create_manifest(manifest)
    print(f"{created.metadata.name} is created in namespace {created.metadata.namespace}")
    return 0


def convert(options: Options) -> int:
    converted = [conversion.convert(found) for found in conversion.read(_text(options.file))]
    for one in converted:
        for note in one.notes:
            terminal.complain(f"{one.name}: {note.path} {note.words}")
    _print_yaml([one.manifest for one in converted])
    return 0


# --- what they share -----------------------------------------------------------------------------


def _jobs(options: Options) -> ElasticJobs:
    return ElasticJobs(options.namespace, context=options.context, kubeconfig=options.kubeconfig)


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _text(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise conversion.NotConvertible(f"{file} cannot be read: {error}") from error


def _print_yaml(manifests: Iterable[dict[str, Any]]) -> None:
    print(yaml.safe_dump_all(manifests, sort_keys=False, width=100), end="")
