"""Checkpoints in other forms: asked for, made by a worker, kept with the job's objects."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from models import jobs, ownership
from models.clock import now_plus
from models.ids import new_id
from models.ownership import OwnershipLost, is_known, left, owned_by, taken
from models.states import ExportState
from models.tables import Checkpoint, Export

PROCESSING = (ExportState.PROCESSING,)
ENDINGS = {"onnx": "onnx", "torch_export": "pt2"}
"""Form → the ending of its file."""


def ask(session: Session, checkpoint: Checkpoint, form: str) -> Export:
    """The export of a checkpoint, queued if nobody asked for it yet."""
    known = select(Export).where(Export.checkpoint_id == checkpoint.id, Export.format == form)
    export = session.scalars(known).one_or_none()
    if export is None:
        export = Export(id=new_id("exp"), checkpoint_id=checkpoint.id, format=form)
        session.add(export)
        session.flush()
    return export


def key_of(export: Export, checkpoint: Checkpoint) -> str:
    """Where this attempt puts the file: under a name that no other attempt writes, and not among what the attempts of
    the job have left, which is looked through for litter once they are over."""
    prefix = f"{jobs.objects_prefix(checkpoint.job_id)}/exports"
    return f"{prefix}/{checkpoint.id}-{export.attempt}.{ENDINGS[export.format]}"


def forget(session: Session, export_id: str) -> None:
    """Its file is not what was written: it is made again when it is asked for."""
    session.execute(delete(Export).where(Export.id == export_id))


def find(session: Session, export_id: str) -> Export | None:
    return session.get(Export, export_id)


def claim(session: Session, export_id: str, *, worker_id: str, lease_seconds: float) -> Export | None:
    waiting = (Export.id == export_id) & (Export.state == ExportState.QUEUED) & is_known(Export)
    return ownership.change(
        session, Export, waiting, state=ExportState.PROCESSING, **taken(Export, worker_id, lease_seconds)
    )


def beat(session: Session, export_id: str, attempt: int, lease_seconds: float) -> None:
    ownership.beat(session, Export, export_id, attempt, PROCESSING, lease_seconds)


def ready(session: Session, export_id: str, attempt: int, *, key: str, size: int, sha256: str) -> None:
    _change_owned(session, export_id, attempt, **left(state=ExportState.READY, key=key, bytes=size, sha256=sha256))


def fail(session: Session, export_id: str, attempt: int, reason: str) -> None:
    _change_owned(session, export_id, attempt, **left(state=ExportState.FAILED, failure={"reason": reason}))


def release(session: Session, export_id: str, attempt: int, *, soon: bool = True) -> None:
    rung_at = None if soon else now_plus()
    _change_owned(session, export_id, attempt, **left(state=ExportState.QUEUED, rung_at=rung_at))


def recover_lost(session: Session, *, fruitless_limit: int, limit: int = 100) -> None:
    """Queue again what a silent worker was making; give up what has ended too many workers."""
    for export in ownership.expired(session, Export, PROCESSING, limit):
        still_lost = owned_by(Export, export.id, export.attempt, PROCESSING) & (Export.lease_until < now_plus())
        tries = export.fruitless_attempts + 1
        if tries >= fruitless_limit:
            failure = {"reason": f"{tries} workers in a row died while making it"}
            values = left(state=ExportState.FAILED, failure=failure)
        else:
            values = left(state=ExportState.QUEUED, rung_at=None, fruitless_attempts=tries)
        ownership.change(session, Export, still_lost, **values)


def unheard(session: Session, *, older_than: float, limit: int) -> list[str]:
    return ownership.unheard(session, Export, ExportState.QUEUED, older_than, limit)


def _change_owned(session: Session, export_id: str, attempt: int, **values: object) -> None:
    if ownership.change(session, Export, owned_by(Export, export_id, attempt, PROCESSING), **values) is None:
        raise OwnershipLost(export_id)
