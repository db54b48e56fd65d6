"""What operators watch, counted where it happens; `worker/figures.py` tells it to Prometheus."""

from prometheus_client import Counter, Histogram

ATTEMPTS = Counter("trainwright_attempts", "Attempts of jobs that have ended here, by how.", ["outcome"])
ATTEMPT_SECONDS = Histogram(
    "trainwright_attempt_seconds",
    "How long they took, from the claim on.",
    buckets=(1, 5, 15, 60, 300, 900, 3600, 14_400, 43_200, 172_800),
)
LEASES_LOST = Counter("trainwright_leases_lost", "Leases that were lost here: not renewed in time, or taken.")
RECOVERED = Counter("trainwright_jobs_recovered", "Jobs of silent workers that were dealt with here.")
CHECKPOINT_SECONDS = Histogram(
    "trainwright_checkpoint_seconds",
    "Bringing a checkpoint to the store and making it visible.",
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300),
)
STORE_ERRORS = Counter("trainwright_store_errors", "Times that the store refused a file or did not answer.")
DATABASE_ERRORS = Counter("trainwright_database_errors", "Statements that failed because the database was away.")
