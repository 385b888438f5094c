"""Jobs of other operators as ElasticJobs: a manifest in, a manifest and what it lacks out."""

from elasticjob_operator.conversion.documents import convert, read
from elasticjob_operator.conversion.fields import Converted, NotConvertible, Note

__all__ = ["Converted", "NotConvertible", "Note", "convert", "read"]
