"""Why a job failed, in a form that helps."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from models.states import FailureCode
from models.tables import Json


class Remedy(NamedTuple):
    """Who can mend a kind of failure, and what to try where nothing better is known."""

    owner: Literal["user", "platform"]
    advice: str


REMEDIES: dict[FailureCode, Remedy] = {
    FailureCode.DIVERGED: Remedy("user", "try a lower learning rate, a warm-up, or clipping by the global norm"),
    FailureCode.OUT_OF_MEMORY: Remedy("user", "try a smaller batch_size or network"),
    FailureCode.DATASET_ERROR: Remedy("user", "upload the data set again, and fork the job on it"),
    FailureCode.CHECKPOINT_ERROR: Remedy(
        "user", "start from another checkpoint of that job, or train that job once more"
    ),
    FailureCode.INVALID_SPEC: Remedy("user", "ask POST /v1/jobs/validate what is wrong with the spec"),
    FailureCode.STALLED: Remedy("platform", "look at what its worker's disk and device are busy with, then retry it"),
    FailureCode.POISON: Remedy("platform", "look at the workers' logs; a smaller batch or network may help"),
    FailureCode.DEVICE_ERROR: Remedy(
        "platform", "look at the device (nvidia-smi -q) and its driver, then retry the job"
    ),
    FailureCode.STORAGE_FULL: Remedy("platform", "make room in the object store or on the worker, then retry the job"),
    FailureCode.INTERNAL: Remedy("platform", "look at the job's log; it is a bug of the service, please report it"),
}
MAY_PASS = frozenset({FailureCode.DEVICE_ERROR, FailureCode.STORAGE_FULL})
"""What a trainer may say that another attempt, a while later or on another machine, need not meet again. Everything
else that it says it would say again: running out of a device's memory, diverging, a bug."""


@dataclass(frozen=True)
class Failure:
    """What happened, who can mend it, what to try."""

    code: FailureCode
    message: str
    advice: str | None = None
    """Better than what is always said of its kind."""

    @property
    def owner(self) -> str:
        return REMEDIES[self.code].owner

    def as_json(self) -> Json:
        advice = self.advice or REMEDIES[self.code].advice
        return {"code": self.code.value, "message": self.message, "advice": advice, "owner": self.owner}
