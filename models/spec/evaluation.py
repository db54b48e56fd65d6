"""How the metrics with a choice in them are measured."""

from typing import Annotated

from pydantic import Field

from .technique import Technique


class Evaluation(Technique):
    """What is measured at the end of every epoch follows from the task; a few metrics leave a choice."""

    top_k: Annotated[int, Field(ge=2, le=1000)] | None = None
    """`top_k_accuracy`: the right class is among so many with the highest outputs. Fewer than there are classes; 5
    unless said, where there are more than 5.
    """
    calibration_bins: Annotated[int, Field(ge=2, le=100)] = 15
    """`calibration_error`: into so many bins of equal width the confidences from 0 to 1 are sorted."""
