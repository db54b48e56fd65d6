"""Uploads by parts: each an object, whole and hashed, until together they are the file that was sent.

A key is named once and never written again, so a part that is sent twice is two objects, and one row that points at the
later. What a row does not point at any more is given up in the same transaction.
"""

from collections.abc import Iterable

from sqlalchemy import delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models import discarded
from models.clock import now_plus
from models.ids import new_id
from models.states import DatasetState
from models.tables import Dataset, UploadPart

TAKING = (DatasetState.UPLOADING, DatasetState.FAILED)
"""States in which a data set takes an upload."""
MAX_PARTS = 1000
MAX_PART_BYTES = 5 * 1024**3
"""What stores that speak S3 take in one request."""
SIGNED_SECONDS = 900
"""How long a part that goes directly to the store may be begun."""
MOST_SIGNED_IN_VAIN = 20
"""Of a data set: what is signed may still be sent, also when it does not count as stored any more."""


def prefix(dataset_id: str) -> str:
    return f"datasets/{dataset_id}/uploads"


def new_key(dataset_id: str) -> str:
    return f"{prefix(dataset_id)}/{new_id('upl')}"


def key_to_sign(session: Session, dataset_id: str, number: int, sha256: str) -> str:
    """Where a part goes that is sent past us: the same content to the same place, however often it is signed."""
    same = (UploadPart.dataset_id == dataset_id) & (UploadPart.number == number) & (UploadPart.sha256 == sha256)
    signed = UploadPart.key.startswith(_signed(dataset_id), autoescape=True)
    found = session.scalars(select(UploadPart.key).where(same, signed)).one_or_none()
    return found or f"{prefix(dataset_id)}/{new_id('sgn')}"


def signed_in_vain(session: Session, dataset_id: str) -> int:
    """How many parts were given up that may still be sent past us."""
    return discarded.ahead(session, _signed(dataset_id))


def _signed(dataset_id: str) -> str:
    return f"{prefix(dataset_id)}/sgn_"


def parts(session: Session, dataset_id: str, *, up_to: int = MAX_PARTS) -> list[UploadPart]:
    """By number."""
    which = (UploadPart.dataset_id == dataset_id) & (UploadPart.number <= up_to)
    query = select(UploadPart).where(which).order_by(UploadPart.number)
    return list(session.scalars(query.execution_options(populate_existing=True)))


def bytes_of(session: Session, dataset_id: str, number: int) -> tuple[int, int]:
    """Of a part, as it is now, and of all the others."""
    sizes = select(UploadPart.number, UploadPart.bytes).where(UploadPart.dataset_id == dataset_id)
    found = dict(session.execute(sizes).all())
    one = found.pop(number, 0)
    return one, sum(found.values())


def hold(session: Session, dataset_id: str) -> bool:
    """Whether the data set takes an upload now. If so, its parts are changed by nobody else in this transaction."""
    taking = select(Dataset.id).where(Dataset.id == dataset_id, Dataset.state.in_(TAKING))
    return session.scalars(taking.with_for_update()).one_or_none() is not None


def put(session: Session, dataset_id: str, number: int, *, key: str, size: int, sha256: str) -> UploadPart | None:
    """Point at what is the part from now on; None if the data set takes no upload now."""
    if not hold(session, dataset_id):
        return None
    _give_up(session, dataset_id, (UploadPart.number == number) & (UploadPart.key != key))
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    now = {"key": key, "bytes": size, "sha256": sha256, "created_at": now_plus()}
    statement = insert(UploadPart).values(dataset_id=dataset_id, number=number, **now)
    upsert = statement.on_conflict_do_update(index_elements=["dataset_id", "number"], set_=now)
    return session.scalars(upsert.returning(UploadPart), execution_options={"populate_existing": True}).one()


def keep_only(session: Session, dataset_id: str, keys: Iterable[str]) -> None:
    """Give up every other part of a data set."""
    _give_up(session, dataset_id, UploadPart.key.not_in(list(keys)))


def give_up(session: Session, dataset_id: str, keys: Iterable[str]) -> None:
    """Give up these parts, unless an upload has been made of them meanwhile."""
    if hold(session, dataset_id):
        _give_up(session, dataset_id, UploadPart.key.in_(list(keys)))


def give_up_abandoned(session: Session, hours: float, *, limit: int = 100) -> list[str]:
    """Give up the parts of uploads that were not gone on with for so long; the ids of their data sets."""
    newer = exists().where(UploadPart.dataset_id == Dataset.id, UploadPart.created_at >= now_plus(-hours * 3600))
    some = exists().where(UploadPart.dataset_id == Dataset.id)
    waiting = (
        select(Dataset.id)
        .where(Dataset.state == DatasetState.UPLOADING, some, ~newer)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = list(session.scalars(waiting))
    for dataset_id in found:
        keep_only(session, dataset_id, ())
    return found


def _give_up(session: Session, dataset_id: str, which: ColumnElement[bool]) -> None:
    gone = delete(UploadPart).where(UploadPart.dataset_id == dataset_id, which)
    for key in list(session.scalars(gone.returning(UploadPart.key))):
        discarded.add(session, key, after_seconds=SIGNED_SECONDS if key.startswith(_signed(dataset_id)) else 0)
