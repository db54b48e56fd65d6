"""Random changes of a batch of training examples, in the order of the list; the list is planned once, a run of
operations that share a resampling at a time.
"""

from worker.training.augmentation.plan import Planned, augment, plan

__all__ = ["Planned", "augment", "plan"]
