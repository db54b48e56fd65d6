"""Random changes of a batch of training examples, in the order of the list; the list is planned once, a run of
operations that share a resampling at a time.
"""

from worker.training.augmentation.mixing import mix
from worker.training.augmentation.plan import augment, plan
from worker.training.augmentation.timing import Planned, planned
from worker.training.augmentation.vectors import perturb

__all__ = ["Planned", "augment", "mix", "perturb", "plan", "planned"]
