"""What this machine must offer, asked before anything is set up: `-m localcluster.preflight`.

It imports the standard library only, so that the system's own Python can run it.
"""

import sys

from localcluster import binaries, host
from localcluster.errors import LocalClusterError


def main() -> int:
    """Return 0 if a local cluster can be built and run here, else say why not."""
    try:
        host.check()
        binaries.check()
    except LocalClusterError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
