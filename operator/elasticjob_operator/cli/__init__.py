"""``elasticjob``, which is also ``kubectl elasticjob``: what people do with jobs, in one word each.

It has no rights but its user's.
"""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    try:
        # The base install, which every training image has, brings the command and not its needs.
        from elasticjob_operator.cli import command  # noqa: PLC0415
    except ModuleNotFoundError as error:
        words = f"{error.name} is missing: pip install 'elasticjob[cli]'"
        print(f"elasticjob: {words}", file=sys.stderr)
        return 2
    return command.run(arguments)
