"""The life of a job: every query that reads it for the API, every statement that changes its state.

Nothing here commits: the route or the task that calls owns the transaction.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, assert_never

from sqlalchemy import Float, Select, bindparam, cast, delete, exists, func, insert, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models import discarded, ownership, usage
from models.clock import now_plus
from models.failures import Failure
from models.ids import least_id, new_id
from models.ownership import OwnershipLost, is_known, left, owned_by, taken
from models.states import OWNED, TERMINAL, TRANSITIONS, Actor, FailureCode, State, Wish
from models.tables import Attempt, Checkpoint, Event, Held, Job, Json, Table, Worker


@dataclass(frozen=True)
class Labels:
    """What a job's owner says of it. Nothing of it changes the run."""

    tags: Sequence[str] = ()
    notes: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Filter:
    """Which jobs of a project are meant: those to which everything here applies."""

    states: Sequence[State] = ()
    dataset_id: str | None = None
    name: str | None = None
    """Part of the name, whatever the case."""
    tags: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    created_after: datetime | None = None


def create(
    session: Session,
    *,
    project_id: str,
    dataset_id: str,
    spec: Json,
    resolved_spec: Json,
    spec_sha256: str,
    warnings: list[Json],
    labels: Labels = Labels(),
    forked_from: str | None = None,
    verifies: Json | None = None,
) -> Job:
    """Make a job. The checkpoint that it starts from is held until it has succeeded.

    Returns:
        What was written, to be read: the session does not know it.
    """
    said: dict[str, Any] = {
        "id": new_id("job"),
        "project_id": project_id,
        "dataset_id": dataset_id,
        "name": spec.get("name"),
        "tags": list(labels.tags),
        "notes": labels.notes,
        "forked_from": forked_from,
        "verifies": verifies,
        "spec": spec,
        "resolved_spec": resolved_spec,
        "spec_sha256": spec_sha256,
        "warnings": {"data": warnings},
        "event_count": 1,
    }
    metadata = dict(labels.metadata)
    created_at = session.connection().execute(_NEW, {**said, "metadata": metadata}).scalar_one()
    job = Job(**{**_UNSAID, **said, "labels": metadata, "created_at": created_at})
    _add_event(session, job, "job.created", "user", {})
    start = verifies or resolved_spec.get("warm_start")
    if start is not None:
        session.add(Held(job_id=job.id, checkpoint_id=start["checkpoint"]))
        session.flush()
    return job


_JOBS = Table.metadata.tables[Job.__tablename__]
_NEW = insert(_JOBS).returning(_JOBS.c.created_at)
_UNSAID = {
    Job.__mapper__.get_property_by_column(column).key: getattr(column.default, "arg", None) for column in _JOBS.columns
}
"""What a new job has of which nothing is said, so that nobody asks the database for it."""
_GET = select(Job).where(Job.id == bindparam("job_id"), Job.project_id == bindparam("project_id"))


def get(session: Session, project_id: str, job_id: str) -> Job | None:
    return session.scalars(_GET, {"job_id": job_id, "project_id": project_id}).one_or_none()


def verification_of(session: Session, job_id: str) -> Job | None:
    """The job that trains the last stretch of this one once more, while it is not over."""
    mine = Job.verifies["job"].as_string() == job_id
    return session.scalars(select(Job).where(mine, Job.state.not_in(TERMINAL)).order_by(Job.id)).first()


class Pulse(NamedTuple):
    """What tells whether anything has happened to a job, and little else: it is looked at often."""

    version: int
    state: State
    event_count: int


_PULSE = _GET.with_only_columns(Job.version, Job.state, Job.event_count)


def pulse(session: Session, project_id: str, job_id: str) -> Pulse | None:
    row = session.execute(_PULSE, {"job_id": job_id, "project_id": project_id}).one_or_none()
    return None if row is None else Pulse(*row)


def page(
    session: Session,
    project_id: str,
    which: Filter = Filter(),
    *,
    after: str | None = None,
    limit: int = 20,
    newest_first: bool = True,
) -> list[Job]:
    """One more than `limit` jobs, so that the caller knows whether there are more."""
    query = select(Job).where(Job.project_id == project_id, *_conditions(session, which))
    if after is not None:
        query = query.where(Job.id < after if newest_first else Job.id > after)
    return list(session.scalars(query.order_by(Job.id.desc() if newest_first else Job.id).limit(limit + 1)))


def _conditions(session: Session, which: Filter) -> Iterator[ColumnElement[bool]]:
    if which.states:
        yield Job.state.in_(which.states)
    if which.dataset_id is not None:
        yield Job.dataset_id == which.dataset_id
    if which.name is not None:
        yield func.lower(Job.name).contains(which.name.lower(), autoescape=True)
    if which.created_after is not None:
        yield Job.created_at > which.created_after
        yield Job.id > least_id("job", which.created_after)  # where to look, by the API's clock
    if session.get_bind().dialect.name == "postgresql":  # said as the indexes have it
        if which.tags:
            yield cast(Job.tags, postgresql.JSONB).contains(list(which.tags))
        if which.metadata:
            yield cast(Job.labels, postgresql.JSONB).contains(dict(which.metadata))
    else:
        for tag in which.tags:
            yield exists().where(func.json_each(Job.tags).table_valued("value").c.value == tag)
        for name, value in which.metadata.items():
            yield Job.labels[name].as_string() == value


def count_by_state(session: Session) -> dict[State, int]:
    """Of all projects, of the states that are no end."""
    states = [state for state in State if not state.is_terminal]
    rows = session.execute(select(Job.state, func.count()).where(Job.state.in_(states)).group_by(Job.state))
    return dict.fromkeys(states, 0) | dict(rows.all())


def longest_wait(session: Session) -> float:
    """Seconds since the oldest queued job was made; 0 where none is."""
    oldest = select(Job.created_at, now_plus()).where(Job.state == State.QUEUED).order_by(Job.id).limit(1)
    row = session.execute(oldest).one_or_none()
    return 0.0 if row is None else float((row[1] - row[0]).total_seconds())


def outcome(session: Session, job_id: str, attempt: int) -> str | None:
    """How an attempt has ended, as its row says it; None if it does not say it yet."""
    mine = (Attempt.job_id == job_id) & (Attempt.number == attempt)
    return session.scalars(select(Attempt.outcome).where(mine)).one_or_none()


def count_running(session: Session, project_id: str) -> int:
    running = (Job.project_id == project_id) & Job.state.in_(OWNED)
    return session.scalars(select(func.count()).select_from(Job).where(running)).one()


def events_after(session: Session, job_id: str, sequence: int = 0, limit: int = 100) -> list[Event]:
    query = select(Event).where(Event.job_id == job_id, Event.sequence > sequence).order_by(Event.sequence).limit(limit)
    return list(session.scalars(query))


def event_sequence(session: Session, job_id: str, event_id: str) -> int | None:
    return session.scalars(select(Event.sequence).where(Event.id == event_id, Event.job_id == job_id)).one_or_none()


def attempts(session: Session, job_id: str) -> list[Attempt]:
    return list(session.scalars(select(Attempt).where(Attempt.job_id == job_id).order_by(Attempt.number)))


def request_cancel(session: Session, project_id: str, job_id: str) -> Job | None:
    """Cancel what waits at once; ask the owner of what runs. None if the job has ended already (or is not there): read
    it to tell which.

    The wish stays in the row, so an acknowledged cancel is never overtaken by success; asking twice is the same as
    asking once.
    """
    mine = _locked(session, project_id, job_id)
    waiting = Job.state.in_({State.QUEUED, State.PAUSED})
    ended: dict[str, Any] = {"desired_state": Wish.CANCEL, "finished_at": now_plus()}
    return _move(session, "job.cancelled", "user", mine, waiting, **ended) or _ask(session, mine, Wish.CANCEL)


def request_pause(session: Session, project_id: str, job_id: str) -> Job | None:
    """Let the job rest: what waits at once, what runs once its owner has saved it. None if it has ended, is to be
    cancelled, or is not there. One that is about to end may still end."""
    mine = _locked(session, project_id, job_id)
    resting = session.scalars(select(Job).where(mine, Job.state == State.PAUSED)).one_or_none()
    return (
        resting
        or _move(session, "job.paused", "user", mine, Job.state == State.QUEUED, desired_state=Wish.PAUSE)
        or _ask(session, mine & (Job.desired_state != Wish.CANCEL), Wish.PAUSE)
    )


def request_resume(session: Session, project_id: str, job_id: str) -> Job | None:
    """Take a pause back: the job goes on from where it was. None if it has ended, is to be cancelled, or is not
    there."""
    mine = _locked(session, project_id, job_id)
    waiting = session.scalars(select(Job).where(mine, Job.state == State.QUEUED)).one_or_none()
    return (
        waiting
        or _move(session, "job.resumed", "user", mine, desired_state=Wish.RUN, rung_at=None, not_before=None)
        or _ask(session, mine & (Job.desired_state != Wish.CANCEL), Wish.RUN)
    )


def request_retry(session: Session, project_id: str, job_id: str) -> Job | None:
    """Queue a job again that failed or was cancelled, to go on from its newest checkpoint. None if it has not, or is
    not there."""
    anew: dict[str, Any] = {"failure": None, "finished_at": None, "fruitless_attempts": 0}
    anew |= {"rung_at": None, "not_before": None}
    mine = _locked(session, project_id, job_id)
    return _move(session, "job.retried", "user", mine, desired_state=Wish.RUN, **anew)


def _locked(session: Session, project_id: str, job_id: str) -> ColumnElement[bool]:
    """The condition that means this job, which nobody moves before this transaction ends."""
    lock(session, project_id, job_id)
    return (Job.id == job_id) & (Job.project_id == project_id)


def _ask(session: Session, mine: ColumnElement[bool], wish: Wish) -> Job | None:
    """Tell the owner of a job what is wanted; None if nobody owns it."""
    owned = mine & Job.state.in_(OWNED)
    job = session.scalars(select(Job).where(owned)).one_or_none()
    if job is None or job.desired_state == wish:
        return job
    job = ownership.change(session, Job, owned, desired_state=wish, event_count=Job.event_count + 1)
    assert job is not None, "it is locked"
    _add_event(session, job, f"job.{wish}_requested", "user", {})
    return job


def edit(session: Session, project_id: str, job_id: str, *, name: str | None, labels: Labels) -> Job | None:
    """Say something else of a job. The spec that was sent stays what it was."""
    return ownership.change(
        session,
        Job,
        (Job.id == job_id) & (Job.project_id == project_id),
        name=name,
        tags=list(labels.tags),
        notes=labels.notes,
        labels=dict(labels.metadata),
    )


def remove(session: Session, project_id: str, job_id: str) -> bool:
    """Delete a job that has ended, with everything that hangs on it; its objects go to the discarded ones. False if it
    has not ended, is not there, or if another one starts from it. A job that is being created meanwhile holds the
    checkpoint by its foreign key."""
    mine = (Job.id == job_id) & (Job.project_id == project_id)
    weights = session.scalars(select(func.sum(Checkpoint.weights_bytes)).where(Checkpoint.job_id == job_id)).one()
    ended = delete(Job).where(mine, Job.state.in_(TERMINAL), Job.id.not_in(_held_jobs()))
    if session.execute(ended.returning(Job.id)).first() is None:
        return False
    usage.weigh(session, project_id, -int(weights or 0))
    discarded.add(session, objects_prefix(job_id))
    return True


def is_held(session: Session, job_id: str) -> bool:
    """Whether a job that has not succeeded starts from a checkpoint of this one."""
    return session.scalars(select(Job.id).where(Job.id == job_id, Job.id.in_(_held_jobs()))).first() is not None


def _held_jobs() -> Select[str]:
    return select(Checkpoint.job_id).join(Held, Held.checkpoint_id == Checkpoint.id)


def objects_prefix(job_id: str) -> str:
    return f"jobs/{job_id}"


def lock(session: Session, project_id: str, job_id: str) -> Job | None:
    """The job, which nobody else changes before this transaction ends."""
    return session.scalars(
        select(Job).where(Job.id == job_id, Job.project_id == project_id).with_for_update()
    ).one_or_none()


def claim(session: Session, job_id: str, *, worker_id: str, lease_seconds: float) -> Job | None:
    """Take a queued job. Of any number of workers that try, one gets it; a doorbell rung twice finds nobody home."""
    job = _move(
        session,
        "job.claimed",
        "worker",
        (Job.id == job_id) & is_known(Job),
        progress=None,
        not_before=None,
        **taken(Job, worker_id, lease_seconds),
    )
    if job is not None:
        session.add(Attempt(job_id=job.id, number=job.attempt, worker_id=worker_id))
    return job


def is_rested() -> ColumnElement[bool]:
    """Whether nobody is asked to leave the job in peace any more."""
    return Job.not_before.is_(None) | (Job.not_before < now_plus())


def beat(session: Session, job_id: str, attempt: int, lease_seconds: float) -> Wish:
    """Renew the lease and learn what is wanted."""
    return ownership.beat(session, Job, job_id, attempt, OWNED, lease_seconds).desired_state


def start(
    session: Session,
    job_id: str,
    attempt: int,
    *,
    environment: Json,
    start_step: int,
    progress: Json | None = None,
    data: Json,
) -> Job:
    """The trainer is about to make its first step. Saying it again changes nothing: the answer to a commit may be
    lost."""
    begun = session.scalars(select(Job).where(owned_by(Job, job_id, attempt, {State.RUNNING}))).one_or_none()
    if begun is not None:
        return begun
    earlier = session.get_one(Job, job_id).environment if start_step > 0 else None
    job = _move_owned(
        session,
        "job.started",
        job_id,
        attempt,
        data={"start_step": start_step, **data},
        environment=environment,
        progress=progress,
        started_at=func.coalesce(Job.started_at, now_plus()),
    )
    session.execute(
        update(Attempt)
        .where(Attempt.job_id == job_id, Attempt.number == attempt)
        .values(environment=environment, start_step=start_step)
    )
    if earlier is not None and earlier != environment:
        return _note_change(session, job, earlier, environment)
    return job


def _note_change(session: Session, job: Job, earlier: Json, environment: Json) -> Job:
    """The numbers of a run depend on where it is computed: the bits of one that moved are nobody's promise."""
    names = sorted(earlier.keys() | environment.keys())
    changes = {name: [earlier.get(name), environment.get(name)] for name in names}
    changed = {name: pair for name, pair in changes.items() if pair[0] != pair[1]}
    return add_event(session, job.id, job.attempt, "job.environment_changed", changed, determinism="best_effort")


def fence(session: Session, job_id: str, attempt: int, **values: Any) -> Job:
    """Change fields of an owned job. Rows that hang on the job are written after this, in the same transaction."""
    job = ownership.change(session, Job, owned_by(Job, job_id, attempt, OWNED), **values)
    if job is None:
        raise OwnershipLost(job_id)
    return job


def add_event(session: Session, job_id: str, attempt: int, type_: str, data: Json, **values: Any) -> Job:
    """Say that something happened to an owned job that leaves its state as it is. Saying the same again at once changes
    nothing: the answer to a commit may be lost."""
    job = fence(session, job_id, attempt, **values)
    mine = (Event.job_id == job_id) & (Event.attempt == attempt) & (Event.actor == "worker")
    said = session.scalars(select(Event).where(mine).order_by(Event.sequence.desc()).limit(1)).one_or_none()
    if said is None or (said.type, said.data) != (type_, data):
        job = fence(session, job_id, attempt, event_count=Job.event_count + 1)
        _add_event(session, job, type_, "worker", data)
    return job


def succeed(session: Session, job_id: str, attempt: int, *, summary: Json) -> Job:
    """End well, unless somebody has asked for a cancel meanwhile: then that is what the job ends as.

    The summary's `report`, which may be long, is not told in the event.
    """
    job = _move(
        session,
        "job.succeeded",
        "worker",
        owned_by(Job, job_id, attempt, OWNED),
        Job.desired_state != Wish.CANCEL,
        data={name: value for name, value in summary.items() if name != "report"},
        **left(summary=summary, finished_at=now_plus()),
    )
    if job is None:
        return end_cancelled(session, job_id, attempt)
    session.execute(delete(Held).where(Held.job_id == job_id))
    _end_attempt(session, job, attempt, "succeeded")
    return job


def end_cancelled(session: Session, job_id: str, attempt: int) -> Job:
    job = _move_owned(session, "job.cancelled", job_id, attempt, **left(finished_at=now_plus()))
    _end_attempt(session, job, attempt, "cancelled")
    return job


def fail(session: Session, job_id: str, attempt: int, failure: Failure) -> Job:
    job = _move_owned(
        session,
        "job.failed",
        job_id,
        attempt,
        data=failure.as_json(),
        **left(failure=failure.as_json(), finished_at=now_plus()),
    )
    _end_attempt(session, job, attempt, f"failed: {failure.code}")
    return job


def release(session: Session, job_id: str, attempt: int, *, reason: str, rest_seconds: float = 0) -> Job:
    """Give the job back: to be gone on with by whoever is free, unless somebody has asked for a pause or a cancel.

    Args:
        rest_seconds: how long it is left in peace; if 0, workers are told at the next round of a reconciler.
    """
    mine = owned_by(Job, job_id, attempt, OWNED)
    wish = session.scalars(select(Job.desired_state).where(mine).with_for_update()).one_or_none()
    match wish:
        case None:
            raise OwnershipLost(job_id)
        case Wish.CANCEL:
            return end_cancelled(session, job_id, attempt)
        case Wish.PAUSE:
            job = _move_owned(session, "job.paused", job_id, attempt, **left())
        case Wish.RUN:
            data: Json = {"reason": reason} | ({"rest_seconds": rest_seconds} if rest_seconds else {})
            rest = left(rung_at=None, not_before=now_plus(rest_seconds) if rest_seconds else None)
            job = _move_owned(session, "job.released", job_id, attempt, data=data, **rest)
        case _:
            assert_never(wish)
    _end_attempt(session, job, attempt, f"released: {reason}")
    return job


LONGEST_REST_SECONDS = 600


def retry(
    session: Session, job_id: str, attempt: int, *, failure: Failure, fruitless_limit: int, rest_seconds: float
) -> Job:
    """Give back a job whose attempt failed in a way that may pass; after too many in a row without a new checkpoint,
    fail it.

    Args:
        rest_seconds: how long it is left in peace, so that it does not fail again at once: what filled the memory or
            the disk may need time to go. Twice as long after each further attempt in a row, to ten minutes at most.
    """
    job = fence(session, job_id, attempt, fruitless_attempts=Job.fruitless_attempts + 1)
    if job.fruitless_attempts >= fruitless_limit:
        return fail(session, job_id, attempt, failure)
    rest = min(rest_seconds * 2 ** (job.fruitless_attempts - 1), LONGEST_REST_SECONDS)
    return release(session, job_id, attempt, reason=failure.message, rest_seconds=rest)


def recover_lost(session: Session, *, fruitless_limit: int, limit: int = 100) -> list[Job]:
    """Deal with the jobs whose owner has fallen silent: cancel what was to be cancelled, give up poison, queue the
    rest again."""
    return [_recover(session, job, fruitless_limit) for job in ownership.expired(session, Job, OWNED, limit)]


def _recover(session: Session, job: Job, fruitless_limit: int) -> Job:
    still_lost = owned_by(Job, job.id, job.attempt, OWNED) & (Job.lease_until < now_plus())
    ended = left(finished_at=now_plus())
    moved: Job | None
    if job.desired_state == Wish.CANCEL:
        moved = _move(session, "job.cancelled", "reconciler", still_lost, **ended)
    elif job.fruitless_attempts + 1 >= fruitless_limit:
        failure = Failure(
            FailureCode.POISON,
            f"{fruitless_limit} workers in a row died while training this job, without a new checkpoint",
        ).as_json()
        moved = _move(session, "job.failed", "reconciler", still_lost, data=failure, **(ended | {"failure": failure}))
    elif job.desired_state == Wish.PAUSE:
        lost = left(fruitless_attempts=Job.fruitless_attempts + 1)
        moved = _move(session, "job.paused", "reconciler", still_lost, **lost)
    else:
        lost = left(rung_at=None, fruitless_attempts=Job.fruitless_attempts + 1)
        moved = _move(session, "job.lost", "reconciler", still_lost, data={"reason": "its worker fell silent"}, **lost)
    if moved is None:  # its owner spoke up, or another reconciler was faster
        return job
    _end_attempt(session, moved, job.attempt, "lost")
    return moved


def unheard(session: Session, *, older_than: float, limit: int) -> list[str]:
    return ownership.unheard(session, Job, State.QUEUED, older_than, limit, is_rested())


def report_worker(session: Session, worker: Worker) -> None:
    """Say that a worker is there (insert or update)."""
    merged = session.merge(worker)
    session.flush()
    session.execute(update(Worker).where(Worker.id == merged.id).values(seen_at=now_plus()))


WORKERS_KEPT_SECONDS = 24 * 3600


def forget_workers(session: Session) -> None:
    """Those that have been silent for a day: each start of one makes a row."""
    session.execute(delete(Worker).where(Worker.seen_at < now_plus(-WORKERS_KEPT_SECONDS)))


class Slots(NamedTuple):
    """What the workers that are online can run at once, and run."""

    all: int
    busy: int


SLOTS = select(
    func.coalesce(func.sum(Worker.slots), 0).label("all"), func.coalesce(func.sum(Worker.busy), 0).label("busy")
).where(Worker.state == "online", Worker.seen_at > now_plus(-bindparam("seen_within", type_=Float())))
"""One row."""


def slots(session: Session, seen_within: float) -> Slots:
    total, busy = session.execute(SLOTS, {"seen_within": seen_within}).one()
    return Slots(int(total), int(busy))


def workers(session: Session, seen_within: float) -> list[Worker]:
    return list(session.scalars(select(Worker).where(Worker.seen_at > now_plus(-seen_within)).order_by(Worker.id)))


def _move(
    session: Session,
    type_: str,
    actor: Actor,
    *conditions: ColumnElement[bool],
    data: Json | None = None,
    **values: Any,
) -> Job | None:
    """Make one transition of the table, if the job is where the transition may start, and write its event."""
    transition = TRANSITIONS[type_]
    assert actor in transition.actors, f"{actor} may not cause {type_}"
    job = ownership.change(
        session,
        Job,
        Job.state.in_(transition.sources),
        *conditions,
        state=transition.target,
        event_count=Job.event_count + 1,
        **values,
    )
    if job is not None:
        _add_event(session, job, type_, actor, data or {})
    return job


def _move_owned(
    session: Session, type_: str, job_id: str, attempt: int, *, data: Json | None = None, **values: Any
) -> Job:
    job = _move(session, type_, "worker", owned_by(Job, job_id, attempt, OWNED), data=data, **values)
    if job is None:
        raise OwnershipLost(job_id)
    return job


_NEW_EVENT = insert(Table.metadata.tables[Event.__tablename__])


def _add_event(session: Session, job: Job, type_: str, actor: Actor, data: Json) -> None:
    said = {"id": new_id("evt"), "job_id": job.id, "sequence": job.event_count, "type": type_, "actor": actor}
    session.connection().execute(_NEW_EVENT, {**said, "attempt": job.attempt, "data": data})


def attempt_prefix(job_id: str, attempt: int) -> str:
    return f"{objects_prefix(job_id)}/attempt-{attempt}"


def _end_attempt(session: Session, job: Job, attempt: int, outcome: str) -> None:
    """And charge its project for the time. Nobody can make its objects visible from now on: those without a row are
    litter."""
    discarded.add(session, attempt_prefix(job.id, attempt))
    ended = (
        update(Attempt)
        .where(Attempt.job_id == job.id, Attempt.number == attempt, Attempt.ended_at.is_(None))
        .values(ended_at=now_plus(), outcome=outcome)
        .returning(Attempt.claimed_at, Attempt.ended_at)
    )
    for begun, end in session.execute(ended, execution_options={"synchronize_session": False}):
        assert end is not None
        usage.charge(session, job.project_id, begun, end)
