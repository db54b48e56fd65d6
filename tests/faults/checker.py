"""What must hold after any fault: the invariants, looked up in the tables and the store, not in what was answered."""

import hashlib
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from sqlalchemy import select

from models import metrics
from models.database import Database, Session
from models.metrics import Wanted
from models.states import TERMINAL, TRANSITIONS, State
from models.storage import NotThere, Storage
from models.tables import Attempt, Checkpoint, Event, IdempotentReply, Job

TAKEN_BACK = "job.retried"


def violations(database: Database, storage: Storage, acknowledged: Iterable[str]) -> list[str]:
    """Sentences, each about one thing that should not be. None is what everybody hopes for."""
    with database.read() as session:
        return [
            *_lost(session, acknowledged),
            *_unlawful(session),
            *_attempts_that_go_back(session),
            *_checkpoints_that_are_not_there(session, storage),
            *_keys_that_made_two(session),
            *_steps_that_miss_or_double(session),
        ]


def _lost(session: Session, acknowledged: Iterable[str]) -> Iterator[str]:
    """I1: what was acknowledged is there, and has ended."""
    states = {job.id: job.state for job in session.scalars(select(Job))}
    for job_id in acknowledged:
        if job_id not in states:
            yield f"I1: {job_id} was acknowledged and is gone"
        elif states[job_id] not in TERMINAL:
            yield f"I1: {job_id} is still {states[job_id]}"


def _unlawful(session: Session) -> Iterator[str]:
    """I2: one end each, and no step but those of the table."""
    events = defaultdict(list)
    for event in session.scalars(select(Event).order_by(Event.job_id, Event.sequence)):
        events[event.job_id].append(event)
    ends = {name for name, transition in TRANSITIONS.items() if transition.target in TERMINAL}
    for job_id, history in events.items():
        if [event.sequence for event in history] != list(range(1, len(history) + 1)):
            yield f"I2: the events of {job_id} are not numbered without a gap"
        kinds = Counter(event.type for event in history)
        ended = sum(kinds[name] for name in ends)
        if ended > 1 + kinds[TAKEN_BACK]:
            yield f"I2: {job_id} ended {ended} times"
        at = State.QUEUED
        for event in history:
            transition = TRANSITIONS.get(event.type)
            if transition is None:
                continue
            if at not in transition.sources or event.actor not in transition.actors:
                yield f"I2: {job_id} went by {event.type} of {event.actor} from {at}"
            at = transition.target
        state = session.get_one(Job, job_id).state
        if at != state:
            yield f"I2: {job_id} is {state} and its events say {at}"


def _attempts_that_go_back(session: Session) -> Iterator[str]:
    """I3."""
    seen: dict[str, int] = {}
    for event in session.scalars(select(Event).order_by(Event.job_id, Event.sequence)):
        if event.attempt < seen.get(event.job_id, 0):
            yield f"I3: {event.job_id} went from attempt {seen[event.job_id]} back to {event.attempt}"
        seen[event.job_id] = event.attempt
    rows = defaultdict(list)
    for attempt in session.scalars(select(Attempt).order_by(Attempt.job_id, Attempt.number)):
        rows[attempt.job_id].append(attempt)
    for job in session.scalars(select(Job)):
        numbers = [attempt.number for attempt in rows[job.id]]
        if numbers != list(range(1, job.attempt + 1)) or job.attempt < seen.get(job.id, 0):
            yield f"I3: {job.id} is at attempt {job.attempt}, its rows are {numbers}"
        if job.state in TERMINAL and any(attempt.ended_at is None for attempt in rows[job.id]):
            yield f"I3: {job.id} has ended and an attempt of it has not"


def _checkpoints_that_are_not_there(session: Session, storage: Storage) -> Iterator[str]:
    """I4: an object behind every row, with the bytes that the row promises."""
    for row in session.scalars(select(Checkpoint).where(Checkpoint.quarantined_at.is_(None))):
        for key, sha256 in ((row.weights_key, row.weights_sha256), (row.state_key, row.state_sha256)):
            if key is None:
                continue
            digest = hashlib.sha256()
            try:
                for piece in storage.read(key):
                    digest.update(piece)
            except NotThere:
                yield f"I4: {key} of {row.id} is not there"
                continue
            if digest.hexdigest() != sha256:
                yield f"I4: {key} of {row.id} has other bytes than its row says"


def _keys_that_made_two(session: Session) -> Iterator[str]:
    """I6: a key of a request stands for one job, and each job for at most one key."""
    made: dict[str, str] = {}
    there = set(session.scalars(select(Job.id)))
    for row in session.scalars(select(IdempotentReply)):
        job_id = str((row.body or {}).get("id", ""))
        if not job_id.startswith("job_"):
            continue
        if job_id in made:
            yield f"I6: {job_id} was made by {made[job_id]} and by {row.key}"
        if job_id not in there:
            yield f"I6: {row.key} was answered with {job_id}, which is not there"
        made[job_id] = row.key


def _steps_that_miss_or_double(session: Session) -> Iterator[str]:
    """I8: each step and each epoch once, in order, and all of what succeeded."""
    for job in session.scalars(select(Job).where(Job.verifies.is_(None))):
        for interval in ("step", "epoch"):
            series, _ = metrics.read(session, Wanted(job.id, interval, keys=(interval,)), limit=sys.maxsize)
            told = series.columns.get(interval, [])
            if told != list(range(1, len(told) + 1)):
                yield f"I8: the {interval}s of {job.id} are {len(told)}, from {told[:1]} to {told[-1:]}"
            if job.state == State.SUCCEEDED and len(told) != (job.progress or {}).get(interval):
                yield f"I8: {job.id} is at {interval} {(job.progress or {}).get(interval)} and has told {len(told)}"


def leftovers(folder: Path) -> list[str]:
    """I7: no temporary file stays behind."""
    return [str(path) for pattern in (".part-*", ".*.tmp") for path in folder.rglob(pattern)]


def strays(folder: Path) -> list[int]:
    """I7: no process of an installation outlives it. They are known by its folder in their environment."""
    wanted = str(folder).encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if int(process.name) != os.getpid() and wanted in (process / "environ").read_bytes():
                found.append(int(process.name))
        except (OSError, ValueError):
            continue
    return found
