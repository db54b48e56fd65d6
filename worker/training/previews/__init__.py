"""What a run would do, shown before it runs: by the run's own code, on the CPU, in seconds. Everything is JSON."""

from .augmentation import preview_augmentation
from .initialization import preview_initialization
from .schedule import preview_schedule

__all__ = ["preview_augmentation", "preview_initialization", "preview_schedule"]
