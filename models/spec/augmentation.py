"""Random changes of training images, drawn anew for every image and every epoch, in the order of the list; evaluation
sees none.

Geometric changes that stand next to each other become one matrix and one resampling. Each acts on an image with
probability `p`, and only from `from` until `until` in the run.
"""

from typing import Annotated

from pydantic import Field

from .geometric import Geometric
from .mixing import Mixing
from .photometric import Photometric
from .policies import Policy
from .vectors import GaussianNoise, Perturbation

OnImages = Geometric | Photometric | GaussianNoise | Policy

Augmentation = Annotated[OnImages | Perturbation | Mixing, Field(discriminator="type")]
