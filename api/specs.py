"""From what was sent to a spec that can run: one way, for jobs that are made and specs that are only looked at."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from api.errors import Invalid, spec_item
from api.idempotent import canonical_json
from api.labels import split
from models import checkpoints, datasets, jobs
from models.database import Session
from models.jobs import Labels
from models.spec import Estimate, JobSpec, SpecError, SpecInvalid, check, estimate, parse_spec, resolve, task_of
from models.spec.manifest import Manifest
from models.spec.warm_start_check import Earlier
from models.states import DatasetState
from models.tables import Checkpoint

_manifest: TypeAdapter[Manifest] = TypeAdapter(Manifest)


@dataclass(frozen=True)
class Runnable:
    """A spec that fits its data set."""

    dataset_id: str
    labels: Labels
    """What is said of the job beside the spec."""
    sent: dict[str, Any]
    resolved: dict[str, Any]
    warnings: list[dict[str, Any]]
    estimate: Estimate

    @property
    def sha256(self) -> str:
        return hashlib.sha256(canonical_json(self.resolved).encode()).hexdigest()


def make_runnable(session: Session, project_id: str, body: Any) -> Runnable:
    """Everything that can be said about a job before it runs.

    Raises:
        Invalid: with every mistake that can be seen from where the first ones leave off.
    """
    labels, items, sent = split(body)
    try:
        runnable = _runnable(session, project_id, labels, sent)
    except SpecInvalid as invalid:
        items += [spec_item(error) for error in invalid.errors]
    if items:
        raise Invalid(items)
    return runnable


def _runnable(session: Session, project_id: str, labels: Labels, sent: Any) -> Runnable:
    spec = parse_spec(sent)
    manifest = _manifest_of(session, project_id, spec)
    unknown: list[SpecError] = []
    earlier = _earlier(session, project_id, spec, unknown)
    errors, warnings = check(spec, manifest, earlier=earlier)
    if unknown or errors:
        raise SpecInvalid((*unknown, *errors))
    return Runnable(
        dataset_id=spec.dataset.id,
        labels=labels,
        sent=sent,
        resolved=resolve(spec, manifest, earlier).model_dump(mode="json"),
        warnings=[asdict(warning) for warning in warnings],
        estimate=estimate(spec, manifest),
    )


def _manifest_of(session: Session, project_id: str, spec: JobSpec) -> Manifest:
    dataset = datasets.get(session, project_id, spec.dataset.id)
    if dataset is None:
        raise _about_dataset("unknown_dataset", "there is no data set of this id")
    if dataset.state != DatasetState.READY:
        raise _about_dataset("dataset_not_ready", f"this data set is {dataset.state}; jobs need one that is ready")
    return _manifest.validate_python(dataset.manifest)


def _earlier(session: Session, project_id: str, spec: JobSpec, errors: list[SpecError]) -> Earlier | None:
    """The checkpoint that a spec starts from, if it says one and there is one."""
    checkpoint = _start_of(session, project_id, spec, errors)
    if checkpoint is None:
        return None
    job = jobs.get(session, project_id, checkpoint.job_id)
    dataset = None if job is None else datasets.find(session, job.dataset_id)
    if job is None or dataset is None:
        errors.append(_unknown_checkpoint())  # it has been deleted between two looks
        return None
    try:
        before = parse_spec(job.resolved_spec)
    except SpecInvalid:
        detail = "the job of this checkpoint was made by another version, whose spec is not understood any more"
        errors.append(SpecError("/warm_start/checkpoint", "not_understood", detail))
        return None
    task = task_of(before, _manifest.validate_python(dataset.manifest))
    return Earlier(checkpoint.id, checkpoint.weights_sha256, before, task)


def _start_of(session: Session, project_id: str, spec: JobSpec, errors: list[SpecError]) -> Checkpoint | None:
    if spec.warm_start is None:
        return None
    named = spec.warm_start.checkpoint
    if isinstance(named, str):
        found = checkpoints.get(session, project_id, named)
        if found is None:
            errors.append(_unknown_checkpoint())
        return found
    if jobs.get(session, project_id, named.job) is None:
        errors.append(SpecError("/warm_start/checkpoint/job", "unknown_job", "there is no job of this id"))
        return None
    found = (checkpoints.best if named.which == "best" else checkpoints.last)(session, named.job)
    if found is None:
        detail = f"this job has no {named.which} checkpoint"
        errors.append(SpecError("/warm_start/checkpoint", "no_checkpoint", detail))
    return found


def _unknown_checkpoint() -> SpecError:
    return SpecError("/warm_start/checkpoint", "unknown_checkpoint", "there is no checkpoint of this id")


def _about_dataset(code: str, detail: str) -> SpecInvalid:
    return SpecInvalid((SpecError("/dataset/id", code, detail),))
