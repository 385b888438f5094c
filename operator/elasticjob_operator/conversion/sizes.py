"""How many workers, and how many processes each of them has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from elasticjob_operator.conversion.fields import Fields, Manifest, NotConvertible

WORDS = ("auto", "gpu", "cpu")


@dataclass(frozen=True)
class Size:
    """How many workers a job has at least, at most, and now."""

    least: int
    most: int
    wanted: int

    @classmethod
    def within(cls, least: int, most: int, replicas: int, fields: Fields) -> Size:
        """Return the size; replicas beyond the bounds are taken for the bound, with a note.

        Raises:
            NotConvertible: there is no such size.
        """
        if not 1 <= least <= most:
            raise NotConvertible(
                f"{fields.path} must have 1 <= minReplicas <= maxReplicas, not {least} and {most}"
            )
        wanted = min(max(replicas, least), most)
        if wanted != replicas:
            fields.note("", f"has replicas ({replicas}) beyond its bounds: {wanted} is taken")
        return cls(least, most, wanted)

    @property
    def fields(self) -> Manifest:
        """The fields of an ElasticJob's spec."""
        return {
            "minReplicas": self.least,
            "maxReplicas": self.most,
            "replicas": self.wanted,
        }


def nproc(*given: Any) -> int | str | None:
    """Return the first that is given, as ``spec.nprocPerNode`` has it.

    Raises:
        NotConvertible: it is neither a number nor one of the words.
    """
    found = next((value for value in given if value is not None), None)
    if found is None or found in WORDS:
        return found
    if str(found).isdecimal() and int(found) >= 1:
        return int(found)
    words = ", ".join(WORDS)
    raise NotConvertible(
        f"nprocPerNode must be a number from 1 on or one of {words}, not {found!r}"
    )
