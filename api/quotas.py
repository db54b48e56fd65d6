"""Whether a project has room for more, measured in the transaction that takes the room."""

from api.dependencies import Services
from api.errors import Conflict, TooManyJobs
from models import jobs, projects, usage
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


def _full() -> Conflict:
    detail = "this project has stored as much as it may: delete jobs or data sets that are not needed any more"
    return Conflict(detail, code="storage_limit")
