"""A few steps on a real data set, where it is at hand."""

from pathlib import Path

import numpy as np

from tests.larger import larger_file
from tests.worker.training.little import load, pack_images
from worker.training import EpochDone, train


def test_the_articles_recipe_learns_fashion_within_sixty_steps(tmp_path: Path) -> None:
    arrays = np.load(larger_file("data/fashion-mnist.npz"))
    four = {
        name: (arrays[f"{name}_images"][kept][..., None], arrays[f"{name}_labels"][kept].astype(np.int64))
        for name in ("train", "test")
        if (kept := np.flatnonzero(arrays[f"{name}_labels"] < 4)[:4000]) is not None
    }
    words = {
        "dataset": {"id": "fashion", "validation": {"split": "test"}},
        "network": {"type": "cnn", "widths": [16, 32], "head": [64], "pooling": "each"},
        "regularization": [{"type": "l2", "weight": 1e-4}, {"type": "dropout", "rate": 0.5}],
        "augmentation": [{"type": "affine", "rotation": 10, "shift": [0.1, 0.1]}, {"type": "horizontal_flip"}],
        "optimizer": {"type": "sgd", "learning_rate": 0.05, "momentum": 0.9},
        "clipping": {"type": "global_norm"},
        "training": {"steps": 60, "batch_size": 64},
    }
    spec, data = load(pack_images(tmp_path, **four), words)
    (done,) = [event for event in train(spec, data) if isinstance(event, EpochDone)]
    assert done.metrics["validation/accuracy"] > 0.75
