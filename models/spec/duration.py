"""Lengths of time within a run: `"10 epochs"`, `"500 steps"`, `"30%"` of the run; a bare integer means epochs."""

import re
from fractions import Fraction
from typing import Annotated, Any, Literal, NamedTuple, Self, assert_never

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_PATTERN = r"^([0-9]{1,9}(?:\.[0-9]{1,6})?) ?(epochs?|steps?|%)$"
_UNITS: dict[str, Literal["epochs", "steps", "%"]] = {
    "epoch": "epochs",
    "epochs": "epochs",
    "step": "steps",
    "steps": "steps",
    "%": "%",
}


class Duration(NamedTuple):
    """An amount of epochs, of optimizer steps, or of the whole run (in per cent). Steps are whole; the others may have
    a fraction.

    In JSON it is a string such as `"10 epochs"`, `"0.5 epochs"`, `"500 steps"` or `"30%"`, or a whole number of epochs.
    """

    amount: Fraction
    unit: Literal["epochs", "steps", "%"]

    @classmethod
    def parse(cls, value: int | str) -> Self:
        """The duration that a spec wrote. Raises PydanticCustomError where it is none."""
        if isinstance(value, int):
            return cls._epochs(value)
        match = re.fullmatch(_PATTERN, value)
        if match is None:
            raise _not_a_duration()
        amount, unit = Fraction(match[1]), _UNITS[match[2]]
        if unit == "steps" and amount.denominator != 1:
            raise PydanticCustomError("duration", "Steps are whole: write a whole number of steps, or epochs")
        if unit == "%" and amount > 100:
            raise PydanticCustomError("duration", "A share of the run is at most 100%")
        return cls(amount, unit)

    @classmethod
    def _epochs(cls, value: int) -> Self:
        if isinstance(value, bool) or not 0 <= value < 10**9:
            raise _not_a_duration()
        return cls(Fraction(value), "epochs")

    def __str__(self) -> str:
        """The canonical form: `"10 epochs"`, `"500 steps"`, `"30%"`."""
        number = f"{float(self.amount):.6f}".rstrip("0").rstrip(".")
        return f"{number}%" if self.unit == "%" else f"{number} {self.unit}"

    def in_steps(self, steps_per_epoch: int, total_steps: int) -> int:
        """How many optimizer steps this is, rounded to the nearest; what is not nothing is at least one step."""
        if self.amount == 0:
            return 0
        match self.unit:
            case "epochs":
                exact = self.amount * steps_per_epoch
            case "steps":
                exact = self.amount
            case "%":
                exact = self.amount * total_steps / 100
            case _:
                assert_never(self.unit)
        return max(1, round(exact))

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validate,
            serialization=core_schema.plain_serializer_function_ser_schema(str, return_schema=core_schema.str_schema()),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "title": "Duration",
            "description": 'Epochs, steps or a share of the run, such as "30%"; a bare integer means epochs.',
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": _PATTERN}],
            "examples": ["10 epochs", "500 steps", "30%", 10],
        }


def _validate(value: object) -> Duration:
    if isinstance(value, Duration):
        return value
    if isinstance(value, int | str):
        return Duration.parse(value)
    raise _not_a_duration()


def _not_a_duration() -> PydanticCustomError:
    return PydanticCustomError(
        "duration", 'Write "10 epochs", "500 steps", "30%" (of the run) or a whole number of epochs'
    )


def _more_than_nothing(value: Duration) -> Duration:
    if value.amount == 0:
        raise PydanticCustomError("duration", "A duration here is more than nothing")
    return value


PositiveDuration = Annotated[Duration, AfterValidator(_more_than_nothing)]
