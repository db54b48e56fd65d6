"""The tables. Both sides of the service, and both databases, share them; `migrations/` is what builds them."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    Enum,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from models.clock import UTCDateTime, now_plus
from models.formats import FORMAT
from models.states import DatasetState, ExportState, State, Wish

Json = dict[str, Any]


class Table(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012
        datetime: UTCDateTime(),
        Json: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
        str: String(),
        int: BigInteger(),
    }


States = type[State] | type[Wish] | type[DatasetState] | type[ExportState]


def _enum(values: States) -> Enum:
    return Enum(
        values,
        native_enum=False,
        create_constraint=False,
        length=16,
        values_callable=lambda kind: [v.value for v in kind],
    )


def _one_of(column: str, values: States | tuple[str, ...]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


class Project(Table):
    """A tenant: everything else belongs to one."""

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    founder_id: Mapped[str | None] = mapped_column(ForeignKey("projects.id"), index=True)
    """The project whose administrators made it and set its limits; none for the operator's own."""
    active_jobs: Mapped[int | None]
    """Queued and running jobs that it may have; where it says nothing, the settings do. So for the other limits."""
    running_jobs: Mapped[int | None]
    storage_bytes: Mapped[int | None]
    requests_per_minute: Mapped[int | None]
    """Of each of its keys."""
    weights_bytes: Mapped[int] = mapped_column(default=0, server_default="0")
    """Of all its checkpoints, kept beside them: to add them up takes the longer the more there are."""
    served_at: Mapped[datetime | None]
    """When a worker last took up one of its jobs."""
    created_at: Mapped[datetime] = mapped_column(default=now_plus())


class ApiKey(Table):
    """A credential of a project. Only the hash of its secret is kept."""

    __tablename__ = "api_keys"
    __table_args__ = (_one_of("scope", ("read", "submit", "admin")),)

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    scope: Mapped[str]
    secret_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now_plus())
    revoked_at: Mapped[datetime | None]
    """From when on it opens nothing; of a key that was rotated this may lie ahead."""
    project: Mapped[Project] = relationship(lazy="joined", innerjoin=True)


class BrowserSession(Table):
    """A browser that is signed in with a key, or a ticket that lets one in. Only the hash of its token is kept."""

    __tablename__ = "browser_sessions"

    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    api_key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"), index=True)
    is_ticket: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(default=now_plus())
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Usage(Table):
    """What a project has used in a calendar month (UTC)."""

    __tablename__ = "usage"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    month: Mapped[str] = mapped_column(String(7), primary_key=True)
    """`2026-11`."""
    device_seconds: Mapped[float] = mapped_column(Double())
    """Of attempts that have ended."""
    peak_storage_bytes: Mapped[int]


class Audit(Table):
    """Who changed what, written in the transaction of the change. No row hangs on what it names: that may go."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_project_id_id", "project_id", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    key_id: Mapped[str]
    action: Mapped[str]
    """The operation of the API: `deleteJob`."""
    target: Mapped[str]
    """The id of what was changed."""
    data: Mapped[Json]
    created_at: Mapped[datetime] = mapped_column(default=now_plus())


class Owned:
    """What a worker can own: it holds the row while `lease_until` lies ahead on the database's clock, under the number
    of its attempt."""

    attempt: Mapped[int] = mapped_column(default=0)
    """How many times the row has been claimed. Every write of an owner carries it: a later claim fences the earlier
    one off."""
    lease_until: Mapped[datetime | None]
    worker_id: Mapped[str | None]
    fruitless_attempts: Mapped[int] = mapped_column(default=0)
    """Attempts in a row that left nothing behind; too many make the row poison."""
    rung_at: Mapped[datetime | None]
    """When workers were last told of it."""
    format_version: Mapped[int] = mapped_column(default=FORMAT, server_default="1")
    """The newest format of what belongs to it; workers that do not know it leave it alone."""
    version: Mapped[int] = mapped_column(default=1)
    """Grows with every change a reader could see: the ETag."""


class Dataset(Owned, Table):
    __tablename__ = "datasets"
    __table_args__ = (
        _one_of("state", DatasetState),
        Index("ix_datasets_project_id_id", "project_id", "id"),
        Index("ix_datasets_state", "state"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    name: Mapped[str]
    filename: Mapped[str | None]
    state: Mapped[DatasetState] = mapped_column(_enum(DatasetState), default=DatasetState.UPLOADING)
    upload_key: Mapped[str | None]
    """None where it came by parts."""
    upload_bytes: Mapped[int | None]
    upload_sha256: Mapped[str | None] = mapped_column(String(64))
    content_sha256: Mapped[str | None] = mapped_column(String(64))
    """The sha256 of the packed form's manifest: equal data have an equal one."""
    packed_bytes: Mapped[int | None]
    manifest: Mapped[Json | None]
    progress: Mapped[Json | None]
    failure: Mapped[Json | None]
    created_at: Mapped[datetime] = mapped_column(default=now_plus())
    ready_at: Mapped[datetime | None]


class UploadPart(Table):
    """One part of a data set's upload. Behind one another, by number, they are the file."""

    __tablename__ = "upload_parts"
    __table_args__ = (UniqueConstraint("key"),)

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key: Mapped[str]
    bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    """Of a part that goes directly to the store: what its sender said."""
    created_at: Mapped[datetime] = mapped_column(default=now_plus())


_IS_QUEUED = text("state = 'queued'")


class Job(Owned, Table):
    __tablename__ = "jobs"
    __table_args__ = (
        _one_of("state", State),
        _one_of("desired_state", Wish),
        Index("ix_jobs_project_id_id", "project_id", "id"),
        Index("ix_jobs_project_id_state_id", "project_id", "state", "id"),
        Index("ix_jobs_state_id", "state", "id"),
        Index("ix_jobs_dataset_id", "dataset_id"),
        # Ids sort by time and so do jobs in the table: that the queue lies at its end only an index of its own knows.
        Index("ix_jobs_queued", "id", postgresql_where=_IS_QUEUED, sqlite_where=_IS_QUEUED),
        Index("ix_jobs_tags", text("(tags::jsonb)"), postgresql_using="gin").ddl_if("postgresql"),
        Index("ix_jobs_metadata", text("(metadata::jsonb)"), postgresql_using="gin").ddl_if("postgresql"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"))
    name: Mapped[str | None]
    tags: Mapped[list[str]] = mapped_column(default=list)
    notes: Mapped[str | None]
    labels: Mapped[Json] = mapped_column("metadata", default=dict)
    """What its owner says of it, text by name; SQLAlchemy has `metadata` for itself."""
    forked_from: Mapped[str | None]
    """The job whose spec it began with, which may be gone."""
    verifies: Mapped[Json | None]
    """The stretch of another job that it trains once more, to compare bits: `job`, `checkpoint`, `from_step`,
    `to_step`, `sha256` of the weights at its end, `threads`. It stores no checkpoints."""
    state: Mapped[State] = mapped_column(_enum(State), default=State.QUEUED)
    desired_state: Mapped[Wish] = mapped_column(_enum(Wish), default=Wish.RUN)
    spec: Mapped[Json]
    """What was sent."""
    resolved_spec: Mapped[Json]
    """What it means, with every default filled in."""
    spec_sha256: Mapped[str] = mapped_column(String(64))
    warnings: Mapped[Json | None]
    progress: Mapped[Json | None]
    summary: Mapped[Json | None]
    environment: Mapped[Json | None]
    determinism: Mapped[Literal["exact", "best_effort"]] = mapped_column(
        String(), default="exact", server_default="exact"
    )
    """`exact`: going on from a checkpoint changed no bit; `best_effort`: it went on in another environment."""
    applied: Mapped[Json | None]
    """What its techniques have really done, measured by its trainer."""
    failure: Mapped[Json | None]
    not_before: Mapped[datetime | None]
    """Until when it is left in peace."""
    event_count: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now_plus())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Attempt(Table):
    """One claim of a job, from the claim to however it ended."""

    __tablename__ = "attempts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    worker_id: Mapped[str]
    claimed_at: Mapped[datetime] = mapped_column(default=now_plus())
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    start_step: Mapped[int | None]
    environment: Mapped[Json | None]


class Event(Table):
    """One thing that happened to a job. `sequence` counts them from 1 without a gap."""

    __tablename__ = "events"
    __table_args__ = (UniqueConstraint("job_id", "sequence"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    sequence: Mapped[int]
    type: Mapped[str]
    actor: Mapped[str]
    attempt: Mapped[int]
    data: Mapped[Json]
    created_at: Mapped[datetime] = mapped_column(default=now_plus())


class LogLine(Table):
    """A line that a job's worker or trainer wrote. The ids are in the order of writing."""

    __tablename__ = "log_lines"
    __table_args__ = (Index("ix_log_lines_job_id_id", "job_id", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    source: Mapped[str]
    """`worker` or `trainer`."""
    level: Mapped[str]
    message: Mapped[str]
    logged_at: Mapped[datetime]


class MetricChunk(Table):
    """Metrics of the steps (or epochs) first_step … last_step, by column. Starting from a checkpoint drops what lies
    after it."""

    __tablename__ = "metric_chunks"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    interval: Mapped[str] = mapped_column(primary_key=True)
    """`step`, `epoch` or `layer`."""
    first_step: Mapped[int] = mapped_column(primary_key=True)
    last_step: Mapped[int]
    points: Mapped[int]
    attempt: Mapped[int]
    columns: Mapped[Json]


class Checkpoint(Table):
    """A saved network. The row is written after its objects are durable and hashed: what has no row does not exist."""

    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("weights_key"), Index("ix_checkpoints_project_id", "project_id"))

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    kind: Mapped[str]
    step: Mapped[int]
    epoch: Mapped[int]
    is_best: Mapped[bool]
    metrics: Mapped[Json]
    weights_key: Mapped[str]
    weights_sha256: Mapped[str] = mapped_column(String(64))
    weights_bytes: Mapped[int]
    state_key: Mapped[str | None]
    """What a later attempt resumes from; dropped once newer checkpoints make it useless."""
    state_sha256: Mapped[str | None] = mapped_column(String(64))
    quarantined_at: Mapped[datetime | None]
    """When its bytes were found not to be the ones that were written. Never served, never resumed from."""
    created_at: Mapped[datetime] = mapped_column(default=now_plus())


class Export(Owned, Table):
    """A checkpoint in another form, made by a worker when it is first asked for. The object is there once it is
    `ready`."""

    __tablename__ = "exports"
    __table_args__ = (
        _one_of("state", ExportState),
        UniqueConstraint("checkpoint_id", "format"),
        Index("ix_exports_state", "state"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    checkpoint_id: Mapped[str] = mapped_column(ForeignKey("checkpoints.id", ondelete="CASCADE"))
    format: Mapped[str]
    state: Mapped[ExportState] = mapped_column(_enum(ExportState), default=ExportState.QUEUED)
    key: Mapped[str | None]
    bytes: Mapped[int | None]
    sha256: Mapped[str | None] = mapped_column(String(64))
    failure: Mapped[Json | None]
    """`reason`: why there is no such form."""
    created_at: Mapped[datetime] = mapped_column(default=now_plus())


class Preview(Owned, Table):
    """What a spec would do, shown before it runs: made by a worker when it is first asked for, and kept for a while."""

    __tablename__ = "previews"
    __table_args__ = (
        _one_of("state", ExportState),
        UniqueConstraint("project_id", "sha256"),
        Index("ix_previews_state", "state"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str]
    """`schedule`, `augmentation` or `initialization`."""
    sha256: Mapped[str] = mapped_column(String(64))
    """Of all that it depends on: equal questions have one answer."""
    spec: Mapped[Json]
    """Resolved."""
    state: Mapped[ExportState] = mapped_column(_enum(ExportState), default=ExportState.QUEUED)
    result: Mapped[Json | None]
    picture: Mapped[bytes | None] = mapped_column(LargeBinary(), deferred=True)
    """A PNG of at most a megabyte: small enough for a row, with which it goes."""
    failure: Mapped[Json | None]
    """`reason`: why there is none."""
    created_at: Mapped[datetime] = mapped_column(default=now_plus())
    asked_at: Mapped[datetime] = mapped_column(default=now_plus(), index=True)
    """When somebody last wanted it."""


class Held(Table):
    """A checkpoint that a job starts from: it cannot be deleted before that job has succeeded or is deleted itself. One
    that failed may be tried again, and needs it then."""

    __tablename__ = "held_checkpoints"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    checkpoint_id: Mapped[str] = mapped_column(ForeignKey("checkpoints.id"), index=True)


class MlflowRun(Table):
    """The run of an MLflow server that tells of a job, and how much it has been told."""

    __tablename__ = "mlflow_runs"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    run_id: Mapped[str | None]
    told_epoch: Mapped[int] = mapped_column(default=0)
    told_sequence: Mapped[int] = mapped_column(default=0)
    """Of the event that told of that epoch's end."""
    told_version: Mapped[int | None]
    """The job's version when everything was told."""
    holder: Mapped[str | None]
    """The worker that tells of it now."""
    held_until: Mapped[datetime | None]


class IdempotentReply(Table):
    """The answer given to an `Idempotency-Key`, written in the transaction of the work it answers for."""

    __tablename__ = "idempotent_replies"

    api_key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    status: Mapped[int | None]
    headers: Mapped[Json | None]
    body: Mapped[Json | None]
    created_at: Mapped[datetime] = mapped_column(default=now_plus(), index=True)


class Discarded(Table):
    """Objects that lost their rows: to be deleted, in the transaction's own words, so that a crash forgets none."""

    __tablename__ = "discarded"

    prefix: Mapped[str] = mapped_column(primary_key=True)
    """What their keys begin with."""
    discarded_at: Mapped[datetime] = mapped_column(default=now_plus(), index=True)
    """Ahead while they are still being written, for a row that is to come."""


class Worker(Table):
    """A worker process, as it last reported itself."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    slots: Mapped[int]
    busy: Mapped[int]
    device: Mapped[str]
    state: Mapped[str]
    """`online` or `draining`."""
    started_at: Mapped[datetime] = mapped_column(default=now_plus())
    seen_at: Mapped[datetime] = mapped_column(default=now_plus())
