"""What is said of a job beside its spec, taken apart from it and put together with it."""

from typing import Any

from pydantic import ValidationError

from api.errors import Invalid, body_items
from api.merging import merge
from api.resources import EditJob, JobLabels, ProblemItem
from models import tables
from models.jobs import Labels


def split(body: Any) -> tuple[Labels, list[ProblemItem], Any]:
    """The labels in the body of a job that is to be made, their mistakes, and the rest, which is the spec."""
    if not isinstance(body, dict):
        return Labels(), [], body
    sent = {name: value for name, value in body.items() if name in JobLabels.model_fields}
    spec = {name: value for name, value in body.items() if name not in sent}
    try:
        return _labels(JobLabels.model_validate(sent)), [], spec
    except ValidationError as error:
        return Labels(), body_items(error, JobLabels.model_fields), spec


def edited(row: tables.Job, patch: Any) -> tuple[str | None, Labels]:
    """Name and labels of a job after a merge patch.

    Raises:
        Invalid: with pointers into what was sent.
    """
    if not isinstance(patch, dict):
        raise Invalid([ProblemItem(pointer="", code="model_type", detail="a merge patch of a job is an object")])
    now = {"name": row.name, "tags": row.tags, "notes": row.notes, "metadata": row.labels}
    try:
        job = EditJob.model_validate(merge(now, patch))
    except ValidationError as error:
        raise Invalid(body_items(error, EditJob.model_fields)) from None
    return job.name, _labels(job)


def _labels(said: JobLabels) -> Labels:
    tags = tuple(dict.fromkeys(said.tags))
    return Labels(tags, said.notes, said.metadata)
