"""The life of a data set: created, uploaded, taken in by a worker, ready or failed with its reasons."""

from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict, Unpack

from sqlalchemy import bindparam, delete, exists, select
from sqlalchemy.orm import Session

from models import discarded, ownership, uploads
from models.clock import now_plus
from models.ids import new_id
from models.ownership import OwnershipLost, is_known, left, owned_by, taken
from models.states import DatasetState
from models.tables import Dataset, Job, Json

PROCESSING = (DatasetState.PROCESSING,)


def objects_prefix(dataset_id: str) -> str:
    return f"datasets/{dataset_id}"


def packed_prefix(dataset_id: str, content_sha256: str) -> str:
    return f"{objects_prefix(dataset_id)}/packed/{content_sha256}"


def create(session: Session, *, project_id: str, name: str) -> Dataset:
    dataset = Dataset(id=new_id("ds"), project_id=project_id, name=name)
    session.add(dataset)
    session.flush()
    return dataset


_GET = select(Dataset).where(Dataset.id == bindparam("dataset_id"), Dataset.project_id == bindparam("project_id"))


def get(session: Session, project_id: str, dataset_id: str) -> Dataset | None:
    return session.scalars(_GET, {"dataset_id": dataset_id, "project_id": project_id}).one_or_none()


def version_of(session: Session, project_id: str, dataset_id: str) -> int | None:
    query = select(Dataset.version).where(Dataset.id == dataset_id, Dataset.project_id == project_id)
    return session.scalars(query).one_or_none()


def upload_keys(session: Session, dataset: Dataset) -> list[str]:
    """The objects that are its upload, one behind the other."""
    if dataset.upload_key is not None:
        return [dataset.upload_key]
    return [part.key for part in uploads.parts(session, dataset.id)]


def find(session: Session, dataset_id: str) -> Dataset | None:
    """For workers, which serve every project."""
    return session.get(Dataset, dataset_id)


def page(session: Session, project_id: str, *, after: str | None = None, limit: int = 20) -> list[Dataset]:
    """One more than `limit` data sets, the newest first."""
    query = select(Dataset).where(Dataset.project_id == project_id)
    if after is not None:
        query = query.where(Dataset.id < after)
    return list(session.scalars(query.order_by(Dataset.id.desc()).limit(limit + 1)))


class Upload(TypedDict):
    """What came: one object, or the objects `parts` behind one another."""

    filename: str
    key: str | None
    parts: NotRequired[Sequence[str]]
    size: int
    sha256: str


def uploaded(session: Session, dataset_id: str, **upload: Unpack[Upload]) -> Dataset | None:
    """The bytes are in the store: queue the ingest, and give up what an earlier upload has left. None if the data set
    has had its upload already."""
    earlier = session.scalars(select(Dataset.upload_key).where(Dataset.id == dataset_id)).one_or_none()
    row = ownership.change(
        session,
        Dataset,
        Dataset.id == dataset_id,
        Dataset.state.in_(uploads.TAKING),
        state=DatasetState.QUEUED,
        filename=upload["filename"],
        upload_key=upload["key"],
        upload_bytes=upload["size"],
        upload_sha256=upload["sha256"],
        failure=None,
        progress=None,
        rung_at=None,
        fruitless_attempts=0,
    )
    if row is not None:
        uploads.keep_only(session, dataset_id, upload.get("parts", ()))
        if earlier is not None:
            discarded.add(session, earlier)
    return row


def claim(session: Session, dataset_id: str, *, worker_id: str, lease_seconds: float) -> Dataset | None:
    waiting = (Dataset.id == dataset_id) & (Dataset.state == DatasetState.QUEUED) & is_known(Dataset)
    return ownership.change(
        session, Dataset, waiting, state=DatasetState.PROCESSING, **taken(Dataset, worker_id, lease_seconds)
    )


def beat(session: Session, dataset_id: str, attempt: int, lease_seconds: float) -> None:
    ownership.beat(session, Dataset, dataset_id, attempt, PROCESSING, lease_seconds)


def report_progress(session: Session, dataset_id: str, attempt: int, progress: Json) -> None:
    _change_owned(session, dataset_id, attempt, progress=progress)


def ready(session: Session, dataset_id: str, attempt: int, *, manifest: Json, content_sha256: str) -> None:
    _change_owned(
        session,
        dataset_id,
        attempt,
        packed_bytes=_bytes_in(manifest),
        **left(state=DatasetState.READY, manifest=manifest, content_sha256=content_sha256, ready_at=now_plus()),
    )


def _bytes_in(manifest: Any) -> int:
    """Of all the files that it names."""
    match manifest:
        case {"path": str(), "bytes": int(size)}:
            return size
        case dict():
            return sum(map(_bytes_in, manifest.values()))
        case list():
            return sum(map(_bytes_in, manifest))
    return 0


def fail(session: Session, dataset_id: str, attempt: int, failure: Json) -> None:
    _change_owned(session, dataset_id, attempt, **left(state=DatasetState.FAILED, failure=failure))


def release(session: Session, dataset_id: str, attempt: int, *, soon: bool = True) -> None:
    rung_at = None if soon else now_plus()
    _change_owned(session, dataset_id, attempt, **left(state=DatasetState.QUEUED, rung_at=rung_at))


def recover_lost(session: Session, *, fruitless_limit: int, limit: int = 100) -> None:
    """Queue again what a silent worker was taking in; give up what has ended too many workers."""
    for dataset in ownership.expired(session, Dataset, PROCESSING, limit):
        still_lost = owned_by(Dataset, dataset.id, dataset.attempt, PROCESSING) & (Dataset.lease_until < now_plus())
        tries = dataset.fruitless_attempts + 1
        if tries >= fruitless_limit:
            failure = {"code": "poison", "detail": f"{tries} workers in a row died while taking it in"}
            values = left(state=DatasetState.FAILED, failure=failure)
        else:
            values = left(state=DatasetState.QUEUED, rung_at=None, fruitless_attempts=tries)
        ownership.change(session, Dataset, still_lost, **values)


def unheard(session: Session, *, older_than: float, limit: int) -> list[str]:
    return ownership.unheard(session, Dataset, DatasetState.QUEUED, older_than, limit)


def remove(session: Session, project_id: str, dataset_id: str) -> bool:
    """Delete a data set that no job names; False if one does. A job that is being created meanwhile holds the row by
    its foreign key."""
    unused = ~exists().where(Job.dataset_id == dataset_id)
    statement = delete(Dataset).where(Dataset.id == dataset_id, Dataset.project_id == project_id, unused)
    if session.execute(statement.returning(Dataset.id)).first() is None:
        return False
    discarded.add(session, objects_prefix(dataset_id))
    return True


def _change_owned(session: Session, dataset_id: str, attempt: int, **values: object) -> None:
    if ownership.change(session, Dataset, owned_by(Dataset, dataset_id, attempt, PROCESSING), **values) is None:
        raise OwnershipLost(dataset_id)
