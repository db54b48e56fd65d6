"""What a spec would do, shown before it runs: asked for, made by a worker, kept until nobody has wanted it for a
while."""

import hashlib
import json
from typing import Any, Literal

from sqlalchemy import case, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, undefer
from sqlalchemy.sql.elements import ColumnElement

from models import ownership
from models.clock import now_plus
from models.ids import new_id
from models.ownership import OwnershipLost, is_known, left, owned_by, taken
from models.states import ExportState
from models.tables import Dataset, Json, Preview

Kind = Literal["schedule", "augmentation", "initialization"]
PROCESSING = (ExportState.PROCESSING,)
ENDED = (ExportState.READY, ExportState.FAILED)
WAITED_SECONDS = 60
"""What nobody has asked about for so long nobody waits for: it is not made."""
KEPT_SECONDS = 24 * 3600
"""For so long after it was last wanted."""
FAILED_KEPT_SECONDS = 60
"""What failed may have had a reason that passes."""
IRRELEVANT: dict[Kind, tuple[str, ...]] = {
    "schedule": (
        "name", "seed", "network", "initialization", "warm_start", "regularization", "augmentation", "loss",
        "clipping", "checkpoints", "evaluation",
    ),
    "augmentation": ("name", "initialization", "optimizer", "schedule", "clipping", "checkpoints", "evaluation"),
    "initialization": ("name", "schedule", "clipping", "checkpoints", "evaluation"),
}  # fmt: skip
"""Parts of a spec on which a preview does not depend."""


def fingerprint(kind: Kind, resolved: Json, content_sha256: str) -> str:
    """Equal for all that has the same preview: the data count, and not which data set holds them."""
    relevant: dict[str, Any] = {name: part for name, part in resolved.items() if name not in IRRELEVANT[kind]}
    relevant["dataset"] = {**resolved["dataset"], "id": content_sha256}
    return hashlib.sha256(json.dumps([kind, relevant], sort_keys=True).encode()).hexdigest()


def ask(session: Session, project_id: str, kind: Kind, *, dataset: Dataset, resolved: Json) -> tuple[Preview, bool]:
    """The preview of a resolved spec, queued if it is not there yet, and whether one more waits for that now."""
    assert dataset.content_sha256 is not None
    sha256 = fingerprint(kind, resolved, dataset.content_sha256)
    wanted_already = (Preview.project_id == project_id) & (Preview.sha256 == sha256) & _is_wanted()
    was_wanted = session.scalars(select(Preview.id).where(wanted_already)).one_or_none() is not None
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert(Preview).values(
        id=new_id("prv"),
        project_id=project_id,
        dataset_id=dataset.id,
        kind=kind,
        sha256=sha256,
        spec=resolved,
    )
    asked = case((Preview.state == ExportState.FAILED, Preview.asked_at), else_=now_plus())
    wanted = statement.on_conflict_do_update(index_elements=["project_id", "sha256"], set_={"asked_at": asked})
    preview = session.scalars(wanted.returning(Preview), execution_options={"populate_existing": True}).one()
    return preview, preview.state not in ENDED and not was_wanted


def waiting(session: Session, project_id: str) -> int:
    """How many of a project's are still to be made."""
    of_project = (Preview.project_id == project_id) & Preview.state.not_in(ENDED) & _is_wanted()
    return session.scalars(select(func.count()).where(of_project)).one()


def get(session: Session, project_id: str, preview_id: str) -> Preview | None:
    query = select(Preview).where(Preview.id == preview_id, Preview.project_id == project_id)
    return session.scalars(query.options(undefer(Preview.picture))).one_or_none()


def state_of(session: Session, preview_id: str) -> ExportState | None:
    """None once it is gone."""
    return session.scalars(select(Preview.state).where(Preview.id == preview_id)).one_or_none()


def claim(session: Session, *, worker_id: str, lease_seconds: float) -> Preview | None:
    """The one that waits longest, of those that somebody still waits for; None if there is none."""
    queued = (Preview.state == ExportState.QUEUED) & _is_wanted() & is_known(Preview)
    oldest = select(Preview.id).where(queued).order_by(Preview.id).limit(1)
    if session.get_bind().dialect.name == "postgresql":
        oldest = oldest.with_for_update(skip_locked=True)
    found = session.scalars(oldest).one_or_none()
    if found is None:
        return None
    return ownership.change(
        session,
        Preview,
        (Preview.id == found) & (Preview.state == ExportState.QUEUED),
        state=ExportState.PROCESSING,
        **taken(Preview, worker_id, lease_seconds),
    )


def is_waited_for(session: Session) -> bool:
    """Whether there is anything to claim: a look that writes nothing."""
    queued = (Preview.state == ExportState.QUEUED) & _is_wanted() & is_known(Preview)
    return session.scalars(select(Preview.id).where(queued).limit(1)).first() is not None


def beat(session: Session, preview_id: str, attempt: int, lease_seconds: float) -> None:
    ownership.beat(session, Preview, preview_id, attempt, PROCESSING, lease_seconds)


def ready(session: Session, preview_id: str, attempt: int, *, result: Json, picture: bytes | None) -> None:
    _change_owned(session, preview_id, attempt, **left(state=ExportState.READY, result=result, picture=picture))


def fail(session: Session, preview_id: str, attempt: int, reason: str) -> None:
    _change_owned(session, preview_id, attempt, **left(state=ExportState.FAILED, failure={"reason": reason}))


def release(session: Session, preview_id: str, attempt: int) -> None:
    _change_owned(session, preview_id, attempt, **left(state=ExportState.QUEUED))


def recover_lost(session: Session, *, fruitless_limit: int, limit: int = 100) -> None:
    """Queue again what a silent worker was making; give up what has ended too many workers."""
    for preview in ownership.expired(session, Preview, PROCESSING, limit):
        still_lost = owned_by(Preview, preview.id, preview.attempt, PROCESSING) & (Preview.lease_until < now_plus())
        tries = preview.fruitless_attempts + 1
        if tries >= fruitless_limit:
            failure = {"reason": f"{tries} workers in a row died while making it"}
            values = left(state=ExportState.FAILED, failure=failure)
        else:
            values = left(state=ExportState.QUEUED, fruitless_attempts=tries)
        ownership.change(session, Preview, still_lost, **values)


def forget_old(session: Session) -> None:
    """Delete what nobody has wanted for a while, and failures soon."""
    unwanted = Preview.asked_at < now_plus(-KEPT_SECONDS)
    failed = (Preview.state == ExportState.FAILED) & (Preview.asked_at < now_plus(-FAILED_KEPT_SECONDS))
    session.execute(delete(Preview).where(or_(unwanted, failed)))


def _is_wanted() -> ColumnElement[bool]:
    return Preview.asked_at > now_plus(-WAITED_SECONDS)


def _change_owned(session: Session, preview_id: str, attempt: int, **values: object) -> None:
    if ownership.change(session, Preview, owned_by(Preview, preview_id, attempt, PROCESSING), **values) is None:
        raise OwnershipLost(preview_id)
