"""The one IPv6 address that a machine without a network has, too."""

import contextlib
import socket

import pytest

HERE = "::1"


def _is_spoken():
    with contextlib.suppress(OSError), socket.create_server((HERE, 0), family=socket.AF_INET6):
        return True
    return False


needed = pytest.mark.skipif(not _is_spoken(), reason="this machine has no IPv6")
