"""Whether a project has room for more, measured in the transaction that takes the room."""

from api.dependencies import Services
from api.errors import Conflict, TooLarge, TooManyJobs
from models import jobs, projects, uploads, usage
from models.database import Session
from models.settings import Settings


def require_room_for_job(session: Session, settings: Settings, project_id: str, checkpoint_bytes: int = 0) -> None:
    """Raises:
    TooManyJobs: as many are queued and running as may be.
    Conflict: its first checkpoint would not fit.
    """
    limit = projects.lock(session, project_id).active_jobs
    if jobs.count_active(session, project_id) >= (settings.active_jobs_per_project if limit is None else limit):
        raise TooManyJobs("this project has as many queued and running jobs as it may have")
    require_room(session, settings, project_id, checkpoint_bytes)


def require_room(session: Session, settings: Settings, project_id: str, more_bytes: int) -> None:
    if room(session, settings, project_id) < more_bytes:
        raise _full()


def room(session: Session, settings: Settings, project_id: str) -> int:
    """Bytes that a project may still store. Nobody else measures before this transaction ends."""
    limit = projects.lock(session, project_id).storage_bytes
    allowed = settings.storage_bytes_per_project if limit is None else limit
    return allowed - usage.storage_bytes(session, project_id)


def upload_limit(services: Services, project_id: str) -> int:
    """The most bytes that an upload may have. Raises Conflict when there is no room at all."""
    with services.database.read() as session:
        left = room(session, services.settings, project_id)
    if left <= 0:
        raise _full()
    return min(left, services.settings.upload_max_bytes)


def part_limit(services: Services, project_id: str, dataset_id: str, number: int) -> int:
    """The most bytes that a part may have, beside the others. Raises Conflict when there is no room at all."""
    with services.database.read() as session:
        earlier, others = uploads.bytes_of(session, dataset_id, number)
        left = room(session, services.settings, project_id) + earlier
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
