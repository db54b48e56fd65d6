"""The words of a job spec: one frozen class per technique, and what can be said about a spec before anything runs."""

from .job import JobSpec

__all__ = ["JobSpec"]
