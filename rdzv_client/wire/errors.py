"""What is wrong with what stands in the store."""

from __future__ import annotations


class WireError(ValueError):
    """Something in the store, or meant for it, is not what the format allows."""
