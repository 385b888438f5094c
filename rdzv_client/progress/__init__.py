"""How far training has come, as its script says.

An ElasticJob shows it in its status, and can end a round in which no step is done any more. The
script says it in a small file of its own in the folder that ``ELASTICJOB_PROGRESS_DIR`` names,
``<anything>.json`` with ``{"step": 1200}``, renamed over the last one; :func:`report` writes it.
Wherever nobody wants to know, it does nothing. The standard library is all that is needed.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

FOLDER: Final = "ELASTICJOB_PROGRESS_DIR"
"""The variable that names the folder; not set where nobody wants to know."""


def report(
    *,
    step: int,
    epoch: float | None = None,
    metrics: Mapping[str, float] | None = None,
    step_seconds: float | None = None,
) -> bool:
    """Say how far this process has come; call it after every step, or now and then.

    It costs a small write; the last word before anybody looks is what is heard.

    Args:
        step: The steps of training that are done; they go back only where training does.
        epoch: The epoch, or part of one.
        metrics: Numbers to show, at most 16; whatever ``float`` takes.
        step_seconds: What a step takes this process by itself, without waiting for others.

    Returns:
        Whether it was written. That it could not be is no reason to stop training.
    """
    folder = os.environ.get(FOLDER)
    if not folder:
        return False
    said: MutableMapping[str, Any] = {"step": step}
    if epoch is not None:
        said["epoch"] = epoch
    if metrics:
        said["metrics"] = {name: float(number) for name, number in metrics.items()}
    if step_seconds is not None:
        said["step_seconds"] = step_seconds
    path = Path(folder, f"{os.environ.get('LOCAL_RANK', os.getpid())}.json")
    new = path.with_suffix(".new")
    with contextlib.suppress(OSError):
        new.write_text(json.dumps(said))
        new.replace(path)
        return True
    return False
