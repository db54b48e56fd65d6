"""Whether a project has room for more, measured in the transaction that takes the room."""

from api.dependencies import Services
from api.errors import Conflict, TooLarge, TooManyJobs
from models import projects, uploads, usage
from models.database import Session
from models.settings import Settings
from models.usage import Room

CROWD = 1000
"""More transactions than there can be at once."""


def require_room_for_job(session: Session, settings: Settings, project_id: str, checkpoint_bytes: int = 0) -> None:
    """Where there is room for everybody, nobody waits for another; where there may not be, one counts after the other.

    Raises:
        TooManyJobs: as many are queued and running as may be.
        Conflict: its first checkpoint would not fit.
    """
    room = usage.room(session, project_id)
    limit = settings.active_jobs_per_project if room.active_limit is None else room.active_limit
    if limit - room.active_jobs < CROWD:
        projects.lock(session, project_id)
        room = usage.room(session, project_id)
    if room.active_jobs >= limit:
        raise TooManyJobs("this project has as many queued and running jobs as it may have")
    if _left(room, settings) < checkpoint_bytes:
        raise _full()


def require_room(session: Session, settings: Settings, project_id: str, more_bytes: int) -> None:
    """Nobody else measures before this transaction ends."""
    projects.lock(session, project_id)
    if _left(usage.room(session, project_id), settings) < more_bytes:
        raise _full()


def _left(room: Room, settings: Settings) -> int:
    """Bytes that a project may still store."""
    limit = settings.storage_bytes_per_project if room.stored_limit is None else room.stored_limit
    return limit - room.stored_bytes


def upload_limit(services: Services, project_id: str) -> int:
    """The most bytes that an upload may have. Raises Conflict when there is no room at all."""
    with services.database.read() as session:
        left = _left(usage.room(session, project_id), services.settings)
    if left <= 0:
        raise _full()
    return min(left, services.settings.upload_max_bytes)


def part_limit(services: Services, project_id: str, dataset_id: str, number: int) -> int:
    """The most bytes that a part may have, beside the others. Raises Conflict when there is no room at all."""
    with services.database.read() as session:
        earlier, others = uploads.bytes_of(session, dataset_id, number)
        left = _left(usage.room(session, project_id), services.settings) + earlier
    if left <= 0:
        raise _full()
    return max(0, min(left, services.settings.upload_max_bytes - others, uploads.MAX_PART_BYTES))


def require_room_for_part(
    session: Session, settings: Settings, project_id: str, part: tuple[str, int], size: int
) -> None:
    """Raises:
    Conflict: the project may not store so much more.
    TooLarge: with the other parts it would be too large an upload.
    """
    projects.lock(session, project_id)  # before the parts are measured: nobody else measures before this ends
    earlier, others = uploads.bytes_of(session, *part)
    require_room(session, settings, project_id, size - earlier)
    if others + size > settings.upload_max_bytes:
        raise TooLarge(f"an upload may have at most {settings.upload_max_bytes:,} bytes, all its parts together")


def _full() -> Conflict:
    detail = "this project has stored as much as it may: delete jobs or data sets that are not needed any more"
    return Conflict(detail, code="storage_limit")
