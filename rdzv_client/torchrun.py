"""Whether this process is torchrun, whose ways a handler must suit."""

from __future__ import annotations

import sys
from typing import Final

_MODULE: Final = "torch.distributed.run"


def is_running() -> bool:
    """Return whether torchrun's module has been loaded, as a command or with ``python -m``."""
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    return _MODULE in sys.modules or getattr(main, "name", None) == _MODULE
