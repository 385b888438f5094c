"""What the operator asked of the API server, as the server's own audit log tells it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

USER: Final = "elasticjob-operator"

POLICY: Final[dict[str, Any]] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "users": [USER]}, {"level": "None"}],
}


@dataclass(frozen=True)
class Call:
    """One call of the API.

    Attributes:
        verb: Such as ``create``, ``patch`` or ``list``.
        what: The resource, with the subresource, such as ``elasticjobs/status``.
        name: Of the object, if it has one.
        at: When it came, in seconds since the epoch.
    """

    verb: str
    what: str
    name: str
    at: float

    @property
    def is_status_write(self) -> bool:
        """Whether it writes the status of a job."""
        return self.verb in {"patch", "update"} and self.what == "elasticjobs/status"


def flags(folder: Path) -> list[str]:
    """Return the flags with which an API server writes the log of this folder, :func:`log`."""
    policy = folder / "audit-policy.json"
    policy.write_text(json.dumps(POLICY), encoding="utf-8")
    return [f"--audit-policy-file={policy}", f"--audit-log-path={log(folder)}"]


def log(folder: Path) -> Path:
    """Return where the log of the calls is written."""
    return folder / "audit.log"


def read(path: Path, since: float = 0.0, until: float = float("inf")) -> list[Call]:
    """Return the calls that came within this time; a watch counts once, when it begins."""
    with path.open(encoding="utf-8") as lines:
        calls = parse(lines)
    return [call for call in calls if since <= call.at < until]


def parse(lines: Iterable[str]) -> list[Call]:
    """Return the calls in a log of JSON lines; a line that is not whole yet is left out."""
    found = {}
    for line in lines:
        if not line.endswith("\n"):
            break
        event = json.loads(line)
        about = event.get("objectRef") or {}
        what = "/".join(filter(None, (about.get("resource"), about.get("subresource"))))
        at = datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()
        found[event["auditID"]] = Call(event["verb"], what, about.get("name", ""), at)
    return list(found.values())


def by_kind(calls: Iterable[Call]) -> Counter[str]:
    """Count the calls by verb and resource."""
    return Counter(f"{call.verb} {call.what}" for call in calls)


def most_within(calls: Iterable[Call], seconds: float) -> int:
    """Return the most calls about any one object within any such span of time."""
    times = defaultdict(list)
    for call in calls:
        times[call.name].append(call.at)
    return max((_most(sorted(those), seconds) for those in times.values()), default=0)


def _most(times: Sequence[float], seconds: float) -> int:
    first, most = 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
