"""The command: a verb is done, and what goes wrong is one sentence and an exit status."""

from __future__ import annotations

import os
import sys

from elasticjob_operator import conversion
from elasticjob_operator.answers import ClusterError, Refused
from elasticjob_operator.cli import arguments, submission, terminal

FAILED = 1
"""The job that was watched is Failed."""
USAGE = 2
"""The command line, or a file, says what cannot be done."""
REFUSED = 3
"""The API server refuses or does not answer, or there is no such pod."""
TIMED_OUT = 4
INTERRUPTED = 130
CLOSED = 141
"""Nobody reads what is printed."""


def run(words: list[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    options = arguments.parser().parse_args(words)
    try:
        status: int = options.verb(options)
        sys.stdout.flush()
    except (submission.Contradiction, conversion.NotConvertible) as error:
        return _say(str(error), USAGE)
    except Refused as error:
        return _say(f"the API server refuses: {error}", REFUSED)
    except ClusterError as error:
        return _say(str(error), REFUSED)
    except TimeoutError as error:
        return _say(str(error), TIMED_OUT)
    except BrokenPipeError:
        # Else Python complains when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _say(sentence: str, status: int) -> int:
    terminal.complain(sentence)
    return status
