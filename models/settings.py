"""Every setting of the service, read from `TRAINWRIGHT_*` environment variables. The same names serve one machine and
many."""

from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
GiB = 1024**3


class Settings(BaseSettings):
    """What an operator can set. Secrets are never printed: their type hides them."""

    model_config = SettingsConfigDict(env_prefix="TRAINWRIGHT_", frozen=True, use_attribute_docstrings=True)

    database_url: SecretStr
    """SQLAlchemy URL: `postgresql+psycopg://user:password@host/name` or `sqlite:////path/trainwright.db` on one
    machine."""
    broker_url: SecretStr = SecretStr("memory://")
    """Celery's broker, `redis://…` or `redis+socket:///path`. `memory://` means none: workers then find jobs by
    polling the database."""
    storage_url: str
    """Where objects are kept: `s3://bucket/prefix` or `file:///path`."""
    s3_endpoint: str | None = None
    """URL of an S3-compatible server; absent for AWS itself."""
    s3_public_endpoint: str | None = None
    """URL by which users reach that server, for the links to it that are signed; absent if it is the same."""
    s3_region: str = "us-east-1"
    """Region that requests to the object store are signed for."""
    s3_access_key_id: str | None = None
    """Access key of the object store; absent to use the instance's own credentials."""
    s3_secret_access_key: SecretStr | None = None
    """Secret key of the object store."""
    cache_dir: Path = Path("/tmp/trainwright")  # noqa: S108
    """A worker's own folder, on a disk that has hard links: cached data sets, checkpoints on their way. Safe to
    lose."""
    cache_bytes: Annotated[int, Field(ge=0)] = 256 * GiB
    """Data sets in it, pictures in another size among them: where there would be more, or the disk would be full, those
    go that were used longest ago."""

    database_pool_size: Annotated[int, Field(ge=1, le=100)] = 10
    """Connections a process keeps open to Postgres."""

    heartbeat_seconds: Seconds = 5
    """How often the owner of a job renews its lease."""
    lease_seconds: Seconds = 30
    """How long a job stays with an owner that has fallen silent."""
    reconcile_seconds: Seconds = 5
    """How often each worker looks for work that nobody was told about or whose owner is gone."""
    drain_seconds: Seconds = 100
    """How long a worker may take to save its jobs and leave after SIGTERM."""
    stall_seconds: Seconds = 900
    """How long a trainer may go without finishing a step before it is ended and its job tried again."""
    checkpoint_seconds: Seconds = 120
    """How much training a crash may cost at most: the time between checkpoints inside an epoch."""
    fruitless_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """Attempts in a row that may end without a new checkpoint before the job is given up as poison."""
    rest_seconds: Seconds = 10
    """How long a job is left in peace whose attempt failed in a way that may pass; twice as long after each further one
    in a row, to ten minutes at most. A worker's death costs no rest."""
    worker_slots: Annotated[int, Field(ge=1, le=256)] = 1
    """Jobs and ingests that one worker runs at once."""
    trainer_threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """CPU threads of one trainer; 0 shares the cores among the slots. Part of a run's environment: it changes the last
    bits of sums."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """Where trainers compute."""

    spec_max_bytes: Annotated[int, Field(ge=1024)] = 256 * 1024
    """Largest body of a request that is JSON."""
    upload_max_bytes: Annotated[int, Field(ge=1024)] = 20 * GiB
    """Largest upload of a data set."""
    upload_hours: Annotated[float, Field(gt=0, le=24 * 365)] = 72
    """How long one body may take to come, and how long the parts of an upload that is not completed are kept after the
    last of them."""
    ingest_seconds: Seconds = 3600
    """How long one ingest may take."""
    ingest_memory_bytes: Annotated[int, Field(ge=256 * 1024**2)] = 480 * 1024**2
    """Memory of the process that reads an upload."""
    ingest_packed_bytes: Annotated[int, Field(ge=1024)] = 64 * GiB
    """What one upload may unfold to, in all."""
    ingest_ratio: Annotated[int, Field(ge=2)] = 200
    """Bytes that an upload may unfold to for each byte of it, besides the first 256 MiB."""
    ingest_entries: Annotated[int, Field(ge=1, le=10_000_000)] = 200_000
    """Entries of an archive."""
    ingest_entry_bytes: Annotated[int, Field(ge=1024)] = 64 * 1024**2
    """Largest entry of an archive, unpacked."""
    ingest_image_pixels: Annotated[int, Field(ge=1, le=1_000_000_000)] = 50_000_000
    """Largest image; decoding it also has to fit into the memory."""
    ingest_columns: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Columns of a table."""
    ingest_cell_bytes: Annotated[int, Field(ge=1, le=16 * 1024**2)] = 64 * 1024
    """Longest cell of a table."""
    ingest_vocabulary: Annotated[int, Field(ge=1000, le=10_000_000)] = 500_000
    """Different words in the text columns of one table; a column with more is left out."""
    active_jobs_per_project: Annotated[int, Field(ge=1)] = 10_000
    """Queued and running jobs that a project may have at once."""
    running_jobs_per_project: Annotated[int, Field(ge=1)] = 1000
    """Jobs of a project that may run at once."""
    storage_bytes_per_project: Annotated[int, Field(ge=0)] = 1024 * GiB
    """Uploads, packed data sets and checkpoints that a project may have stored."""
    requests_per_minute: Annotated[int, Field(ge=1)] = 6000
    """Requests that one API key may make."""
    rate_url: SecretStr = SecretStr("memory://")
    """Where requests are counted: `redis://…` for all API processes together, `memory://` for each on its own."""
    idempotency_hours: Annotated[float, Field(ge=24)] = 24
    """How long the answer to an `Idempotency-Key` is kept."""
    wait_max_seconds: Annotated[float, Field(gt=0, le=300)] = 60
    """Longest a `?wait=` request is held open."""

    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Port on which a worker tells Prometheus its figures and the queue's; absent: on none, 0: on a free one."""
    metrics_host: str = "127.0.0.1"
    """Address that it listens on; whoever reaches it needs no key."""

    mlflow_url: SecretStr | None = None
    """URL of an MLflow server that is told of every job: its spec, its metrics, how it ended. `https://user:password@…`
    where it asks for one; absent: nobody is told."""
    mlflow_experiment: Annotated[str, Field(min_length=1)] = "trainwright"
    """Its experiment in which the runs are."""
    mlflow_artifacts: bool = False
    """Whether the weights of a job's best checkpoint are sent there too."""

    browser_session_hours: Annotated[float, Field(gt=0, le=8760)] = 168
    """How long a browser stays signed in to the page."""

    allowed_hosts: tuple[str, ...] = ("*",)
    """Values of the Host header that are served; others are refused."""

    @cached_property
    def is_sqlite(self) -> bool:
        return self.database_url.get_secret_value().startswith("sqlite")
