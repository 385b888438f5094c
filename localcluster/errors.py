"""The one error that a caller of this package meets."""


class LocalClusterError(Exception):
    """Says in one or a few sentences what went wrong and what to do about it."""
