"""One job, from the claim to its end: the supervisor.

It holds the lease, talks to the database and the store, and watches a trainer process. Each thing the trainer says
becomes rows, fenced by the attempt; the moment a write finds that the job is somebody else's, the trainer is killed.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from models import checkpoints, database, jobs, log_lines, meters, metrics, mlflow_runs, storage, turns
from models.checkpoints import Saved
from models.database import Session, outage
from models.failpoints import reach
from models.failures import MAY_PASS, Failure
from models.ownership import OwnershipLost
from models.states import FailureCode, Wish
from models.storage import Damaged, NotThere, put_file
from models.tables import Job
from worker import cache
from worker.job_log import JobLog
from worker.lease import Lease
from worker.provision import StartLost, provide
from worker.site import Site
from worker.warm import Trainer

log = structlog.get_logger()
LISTEN_SECONDS = 0.1
LOG_SECONDS = 1
"""Between two times that what was written is kept."""
CLOCKED = {
    "train/seconds": "seconds",
    "train/samples_per_second": "samples_per_second",
    "validation/seconds": "evaluation_seconds",
}
"""Columns of an epoch that the clock decides: apart from its metrics, which are equal in equal runs."""


def run_job(site: Site) -> None:
    """Claim the job whose turn it is, and see it through. That there is none to be had (any more) is no error: the
    doorbell is only a doorbell."""
    settings = site.settings
    with site.database.write() as session:
        job = turns.claim(
            session,
            worker_id=site.id,
            lease_seconds=settings.lease_seconds,
            running_jobs=settings.running_jobs_per_project,
        )
        if job is not None and job.verifies is None and settings.mlflow_url is not None:
            mlflow_runs.want(session, job)
    if job is None:
        return
    begun = time.monotonic()
    reach("claim.after")
    with structlog.contextvars.bound_contextvars(job=job.id, attempt=job.attempt), JobLog(job.id) as job_log:
        log.info("job_claimed", worker=site.id)
        try:
            with site.scratch(f"{job.id}-{job.attempt}") as scratch:
                _Supervisor(site, job, scratch, job_log).run()
        except OwnershipLost:
            log.warning("job_ownership_lost")
        else:
            log.info("job_left")
        finally:
            _keep_log(site, job, job_log)
            _count(site, job, begun)


def _count(site: Site, job: Job, begun: float) -> None:
    meters.ATTEMPT_SECONDS.observe(time.monotonic() - begun)
    try:
        with site.database.read() as session:
            outcome = jobs.outcome(session, job.id, job.attempt) or "lost"
    except database.OUTAGES:
        outcome = "unknown"
    meters.ATTEMPTS.labels(outcome.partition(":")[0]).inc()


def _keep_log(site: Site, job: Job, job_log: JobLog) -> None:
    """Put what was written into the database. That is worth no waiting: what cannot be kept now is kept later."""
    lines = job_log.take()
    if lines:
        try:
            site.write(lambda session: log_lines.add(session, job.id, job.attempt, lines), seconds=0)
        except database.OUTAGES:
            job_log.put_back(lines)


class _Interrupted(Exception):
    """Something is wanted that does not wait until everything has been fetched."""


@dataclass
class _Stop:
    """Why the trainer was told to go, when it was."""

    cancelled: bool = False
    resting: str | None = None
    """Why it was asked to save and stop."""
    stalled: bool = False


class _Supervisor:
    def __init__(self, site: Site, job: Job, scratch: Path, job_log: JobLog) -> None:
        self._site = site
        self._log = job_log
        self._settings = site.settings
        self._job = job
        self._owned = (job.id, job.attempt)
        self._scratch = scratch
        self._trainer: Trainer | None = None
        self._stop = _Stop()
        self._packed: cache.Packed | None = None
        self._found: str | None = None
        """Of the weights at the end of a stretch that is verified."""
        self._last_checkpoint = self._last_progress = self._last_kept = time.monotonic()
        self._keep_last = int(job.resolved_spec["checkpoints"]["keep_last"])

    def run(self) -> None:
        with Lease(
            self._beat,
            heartbeat=self._settings.heartbeat_seconds,
            lease_seconds=self._settings.lease_seconds,
            on_lost=self._kill,
        ) as lease:
            try:
                self._run(lease)
            except (OwnershipLost, *database.OUTAGES):  # there is nothing to say, or nobody to say it to
                raise
            except Exception as error:  # noqa: BLE001  whatever stands in the way is shown on the job's row
                self._kill()
                self._give_back(error)
            finally:
                self._kill()

    def _beat(self) -> Wish:
        reach("beat.before", error=outage)
        lease_seconds = self._settings.lease_seconds
        return self._site.write(lambda session: jobs.beat(session, *self._owned, lease_seconds), seconds=0)

    def _run(self, lease: Lease) -> None:
        try:
            self._packed, order = provide(self._site, self._job, self._scratch, lambda: self._look(lease))
        except _Interrupted:
            self._release()
            return
        except (Damaged, NotThere) as error:
            failure = Failure(FailureCode.DATASET_ERROR, f"the data set's object {error} is missing or damaged")
            self._site.write(lambda session: jobs.fail(session, *self._owned, failure))
            return
        except StartLost as error:
            failure = Failure(
                FailureCode.CHECKPOINT_ERROR,
                f"the weights of {error}, from which the job starts, are missing or damaged",
            )
            self._site.write(lambda session: jobs.fail(session, *self._owned, failure))
            return
        trainer = self._trainer = self._site.trainers.begin(order)
        listening = self._log.listen(trainer.output)
        self._last_progress = time.monotonic()
        try:
            self._watch(trainer, lease)
        except EOFError:
            self._ended_unexpectedly(trainer.close(), lease)
        finally:
            self._kill()
            trainer.close()
            listening.join(timeout=1)
            if not self._site.leaving.is_set():
                self._site.trainers.prepare()

    def _look(self, lease: Lease) -> None:
        """While nothing is trained yet."""
        if lease.lost:
            raise OwnershipLost(self._job.id)
        self._stop.resting = "a cancel was asked for" if lease.wish is Wish.CANCEL else self._why_rest(lease)
        if self._stop.resting is not None:
            raise _Interrupted

    def _watch(self, trainer: Trainer, lease: Lease) -> None:
        """Listen until the trainer has said its last word.

        Raises:
            EOFError: it ended without one.
        """
        while not lease.lost:
            self._steer(trainer, lease)
            message = trainer.hear(LISTEN_SECONDS)
            if message is not None and self._take(message):
                return
            if message is not None:
                self._last_progress = time.monotonic()
        raise OwnershipLost(self._job.id)

    def _steer(self, trainer: Trainer, lease: Lease) -> None:
        """Tell the trainer what it must know: a cancel, a worker that leaves, a checkpoint that is due, too long a
        silence."""
        now = time.monotonic()
        if lease.wish is Wish.CANCEL and not self._stop.cancelled:
            self._stop.cancelled = True
            trainer.kill()
        if self._stop.resting is None and (reason := self._why_rest(lease)):
            self._stop.resting = reason
            trainer.tell("stop")
        if self._site.leaving.is_set() and self._site.seconds_to_leave < 0:
            trainer.kill()
        if now - self._last_kept > LOG_SECONDS:
            self._last_kept = now
            _keep_log(self._site, self._job, self._log)
        if now - self._last_checkpoint > self._settings.checkpoint_seconds:
            self._last_checkpoint = now
            trainer.tell("checkpoint")
        if now - self._last_progress > self._settings.stall_seconds and not self._stop.stalled:
            self._stop.stalled = True
            trainer.kill()

    def _why_rest(self, lease: Lease) -> str | None:
        if self._site.leaving.is_set():
            return "its worker is leaving"
        return "a pause was asked for" if lease.wish is Wish.PAUSE else None

    def _take(self, message: dict[str, Any]) -> bool:
        """Turn what the trainer said into rows. True when it was its last word."""
        match message.pop("type"):
            case "started":
                self._started(message)
            case "steps":
                self._steps(message)
            case "epoch":
                self._epoch(message)
            case "warm_started":
                self._site.write(lambda session: jobs.add_event(session, *self._owned, "job.warm_started", message))
            case "warned":
                self._site.write(lambda session: jobs.add_event(session, *self._owned, "job.warned", message))
            case "applied":
                families = metrics.strict(message["families"])
                self._site.write(lambda session: jobs.fence(session, *self._owned, applied=families))
            case "checkpoint" if self._job.verifies is not None:
                self._compare(message, self._job.verifies)
            case "checkpoint":
                self._checkpoint(message)
            case "finished":
                if self._job.verifies is not None:
                    message["verification"] = self._verdict(self._job.verifies)
                reach("finish.before_commit")
                self._site.write(lambda session: jobs.succeed(session, *self._owned, summary=metrics.strict(message)))
                reach("finish.after_commit")
                return True
            case "stopped":
                self._release()
                return True
            case "failed":
                self._failed(message)
                return True
            case unknown:
                raise ValueError(f"the trainer said {unknown!r}")
        return False

    def _started(self, message: dict[str, Any]) -> None:
        assert self._packed is not None
        self._packed.keep_derived()
        environment = message.pop("environment")
        start_step = message.pop("start_step")
        progress = message.pop("progress")
        self._site.write(
            lambda session: jobs.start(
                session,
                *self._owned,
                environment=environment,
                start_step=start_step,
                progress=progress,
                data=message,
            )
        )

    def _steps(self, message: dict[str, Any]) -> None:
        self._site.write(
            lambda session: metrics.append(session, *self._owned, "step", message["columns"], message["progress"])
        )

    def _epoch(self, message: dict[str, Any]) -> None:
        columns = {name: [value] for name, value in message["metrics"].items()}
        columns |= {name: [message[field]] for name, field in CLOCKED.items()}
        columns |= {"step": [message["step"]], "epoch": [message["epoch"]]}

        layers = {name: [value] for name, value in message["layers"].items()}
        event = metrics.strict({name: message[name] for name in ("epoch", "step", "metrics")})

        def write(session: Session) -> None:
            metrics.append(session, *self._owned, "epoch", columns, message["progress"])
            if layers:
                at = {"step": columns["step"], "epoch": columns["epoch"]}
                metrics.append(session, *self._owned, "layer", layers | at, message["progress"])
            jobs.add_event(session, *self._owned, "epoch.completed", event)

        self._site.write(write)

    def _checkpoint(self, message: dict[str, Any]) -> None:
        """Objects first, then the row, then what the row makes superfluous."""
        step, kind = message["step"], message["kind"]
        weights, state = Path(message.pop("weights")), Path(message.pop("state"))
        weights_key = checkpoints.weights_key(*self._owned, step, kind)
        state_key = checkpoints.state_key(*self._owned, step, kind)
        seconds = message.pop("seconds")
        begun = time.monotonic()
        stored = put_file(self._site.storage, weights_key, weights)
        stored_state = put_file(self._site.storage, state_key, state)
        if (stored.sha256, stored_state.sha256) != (message.pop("weights_sha256"), message.pop("state_sha256")):
            raise Damaged(weights_key)
        reach("ckpt.uploaded")
        saved = Saved(
            weights_key=weights_key,
            weights_sha256=stored.sha256,
            weights_bytes=stored.bytes,
            state_key=state_key,
            state_sha256=stored_state.sha256,
            **metrics.strict(message),
        )
        reach("ckpt.before_commit")
        self._site.write(lambda session: checkpoints.record(session, *self._owned, saved))
        meters.CHECKPOINT_SECONDS.observe(time.monotonic() - begun)
        reach("ckpt.after_commit")
        self._last_checkpoint = time.monotonic()
        weights.unlink()
        state.unlink()
        for key in self._site.write(
            lambda session: checkpoints.prune(session, *self._owned, keep_last=self._keep_last)
        ):
            self._site.storage.delete(key)
        log.info("checkpoint_saved", step=step, kind=kind, written_seconds=round(seconds, 3))

    def _compare(self, message: dict[str, Any], wanted: dict[str, Any]) -> None:
        """What is trained once more is looked at and not kept."""
        if message["step"] == wanted["to_step"]:
            self._found = str(message["weights_sha256"])
        Path(message["weights"]).unlink()
        Path(message["state"]).unlink()

    def _verdict(self, wanted: dict[str, Any]) -> dict[str, Any]:
        between = {name: wanted[name] for name in ("job", "from_step", "to_step")}
        found = {"expected_sha256": wanted["sha256"], "found_sha256": self._found}
        return {"identical": self._found == wanted["sha256"], **between, **found}

    def _failed(self, message: dict[str, Any]) -> None:
        log.error("job_failed", code=message["code"], message=message["message"], trace=message.get("trace"))
        failure = Failure(FailureCode(message["code"]), message["message"], message["advice"])
        if failure.code in MAY_PASS:
            self._retry(failure)
        else:
            self._site.write(lambda session: jobs.fail(session, *self._owned, failure))

    def _ended_unexpectedly(self, exit_code: int | None, lease: Lease) -> None:
        """The trainer is gone and did not say why: we may know."""
        if lease.lost:
            raise OwnershipLost(self._job.id)
        if self._stop.cancelled:
            self._site.write(lambda session: jobs.end_cancelled(session, *self._owned))
            return
        if self._stop.resting is not None:
            self._release()
            return
        failure = self._diagnosis(exit_code)
        log.error("trainer_ended", exit_code=exit_code, code=failure.code)
        self._retry(failure)

    def _release(self) -> None:
        reason = self._stop.resting
        assert reason is not None, "trainers stop when they are told to"
        self._site.write(lambda session: jobs.release(session, *self._owned, reason=reason))

    def _give_back(self, error: Exception) -> None:
        """It cannot be done here and now. A store that is away is no fault of the job: it may wait as long as it
        takes."""
        log.error("supervisor_failed", exc_info=error)
        if isinstance(error, storage.OUTAGES):
            reason, rest = "the object store does not answer", self._settings.rest_seconds
            self._site.write(lambda session: jobs.release(session, *self._owned, reason=reason, rest_seconds=rest))
            return
        code = FailureCode.STORAGE_FULL if storage.is_full(error) else FailureCode.INTERNAL
        self._retry(Failure(code, f"{type(error).__name__}: {error}"[:500]))

    def _retry(self, failure: Failure) -> None:
        """Unless it has been tried often enough."""
        if failure.code is FailureCode.STORAGE_FULL:
            cache.forget_unused(self._site)
        limit, rest = self._settings.fruitless_attempts, self._settings.rest_seconds
        self._site.write(
            lambda session: jobs.retry(session, *self._owned, failure=failure, fruitless_limit=limit, rest_seconds=rest)
        )

    def _diagnosis(self, exit_code: int | None) -> Failure:
        if self._stop.stalled:
            seconds = self._settings.stall_seconds
            return Failure(FailureCode.STALLED, f"the trainer finished no step for {seconds:g} seconds")
        if exit_code == -9:
            return Failure(
                FailureCode.OUT_OF_MEMORY,
                "the trainer was killed, as the operating system does when memory runs out",
            )
        return Failure(FailureCode.POISON, f"the trainer ended with exit code {exit_code}")

    def _kill(self) -> None:
        if self._trainer is not None:
            self._trainer.kill()
