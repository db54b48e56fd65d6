"""The words of a job spec: one frozen class per technique, and what can be said about a spec before anything runs."""

from .catalog import catalog
from .check import check
from .errors import SpecError, SpecInvalid, SpecWarning, parse_spec
from .estimate import Estimate, estimate
from .job import JobSpec
from .resolve import resolve
from .schema import job_spec_schema
from .task import Task, task_of

__all__ = [
    "Estimate",
    "JobSpec",
    "SpecError",
    "SpecInvalid",
    "SpecWarning",
    "Task",
    "catalog",
    "check",
    "estimate",
    "job_spec_schema",
    "parse_spec",
    "resolve",
    "task_of",
]
