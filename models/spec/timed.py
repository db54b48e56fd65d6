"""What every augmentation has: a probability and the part of the run in which it acts."""

from typing import Annotated

from pydantic import Field
from pydantic_core import PydanticCustomError

from .duration import Duration
from .technique import Probability, Technique


class Timed(Technique):
    """What every augmentation has."""

    p: Probability = 1.0
    """The probability with which it acts on an example."""
    from_: Duration = Field(default=Duration.parse(0), alias="from")
    """When it begins."""
    until: Duration = Duration.parse("100%")
    """When it ends; the step that lies there is not augmented any more."""


Share = Annotated[float, Field(ge=0.0, le=1.0)]


def check_order(field: str, pair: tuple[float, float]) -> None:
    """Raises PydanticCustomError where the first of the pair is the larger one."""
    if pair[0] > pair[1]:
        raise PydanticCustomError("empty_interval", "`{field}` has its smaller number first", {"field": field})
