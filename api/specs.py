"""From what was sent to a spec that can run: one way, for jobs that are made and specs that are only looked at."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from api.errors import Invalid, spec_item
from api.idempotent import canonical_json
from api.labels import split
from models import datasets
from models.database import Session
from models.jobs import Labels
from models.spec import Estimate, JobSpec, SpecError, SpecInvalid, check, estimate, parse_spec, resolve
from models.spec.manifest import Manifest
from models.states import DatasetState

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
    errors, warnings = check(spec, manifest)
    if errors:
        raise SpecInvalid(tuple(errors))
    return Runnable(
        dataset_id=spec.dataset.id,
        labels=labels,
        sent=sent,
        resolved=resolve(spec, manifest).model_dump(mode="json"),
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


def _about_dataset(code: str, detail: str) -> SpecInvalid:
    return SpecInvalid((SpecError("/dataset/id", code, detail),))
