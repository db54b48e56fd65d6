"""The lines of JSON in which the decoding process speaks to its supervisor."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from models.spec.manifest import Skipped
from worker.ingest.errors import Code
from worker.ingest.limits import Limits
from worker.ingest.progress import Stage


class Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Advanced(Line):
    """It is under way."""

    type: Literal["progress"] = "progress"
    stage: Stage
    done: int
    total: int | None


class Warned(Line):
    """A protection that this system does not have."""

    type: Literal["warning"] = "warning"
    detail: str


class Done(Line):
    """The packed folder stands; its identity."""

    type: Literal["done"] = "done"
    manifest_sha256: str


class Refused(Line):
    """The upload is not a data set: an IngestError."""

    type: Literal["error"] = "error"
    code: Code
    detail: str
    entry: str | None
    row: int | None
    skipped: tuple[Skipped, ...] = ()


Message = Annotated[Advanced | Warned | Done | Refused, Field(discriminator="type")]

messages: TypeAdapter[Message] = TypeAdapter(Message)


class Request(Line):
    """What the supervisor asks for, as JSON on the standard input."""

    source: str
    destination: str
    filename: str
    limits: Limits
    supervisor: int
