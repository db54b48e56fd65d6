"""Multi-hot inputs as lists: of a row of zeros and few ones only the places of the ones are kept."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from models.spec.job import JobSpec
from models.spec.network import Dense, Mlp, Sequential
from worker.training import layers
from worker.training.column_sums import PLACES, lay_by_columns
from worker.training.data import ROWS_AT_ONCE, Dataset, Part, slices
from worker.training.noise import noise_on_inputs

RARE = 16
"""A list pays where at most one input in so many is 1."""

MOST_BYTES = 2**30
"""Of the lists of one part, which every job keeps for itself; and no more than its rows have as bytes."""


def listed(data: Dataset, spec: JobSpec, device: str) -> Dataset:
    """The data with its inputs as lists, where all of them are 0 or 1 and few are 1, and a dense layer gets them as
    they are; on a CPU, in a network that is not compiled.
    """
    if device != "cpu" or spec.training.compile or not reads_lists(data, spec):
        return data
    parts = [part for part in (data.training, data.validation) if part is not None]
    lists = [lists_of(part) for part in parts]
    if any(one is None for one in lists):
        return data
    training, *validation = (
        Part(one, part.all_targets) for part, one in zip(parts, lists, strict=True) if one is not None
    )
    return replace(data, training=training, validation=validation[0] if validation else None)


def reads_lists(data: Dataset, spec: JobSpec) -> bool:
    """Whether inputs reach a dense layer unchanged."""
    network = spec.network
    dense = isinstance(network, Mlp) or (isinstance(network, Sequential) and isinstance(network.layers[0], Dense))
    plain = data.normalization.divisor == 1.0 and set(data.normalization.mean) == {0.0}
    plain = plain and set(data.normalization.std) == {1.0}
    changed = bool(spec.augmentation) or noise_on_inputs(spec) > 0.0
    return dense and plain and not changed and len(data.task.input_shape) == 1 and not data.task.vocabulary


def lists_of(part: Part) -> Tensor | None:
    """(examples, longest) of `PLACES`, filled up with the number of features; None where it would not pay."""
    found, counts = [], []
    features = 0
    for positions in slices(len(part), ROWS_AT_ONCE):
        rows = part.gather(positions)[0]
        features = rows.shape[1]
        if rows.dtype != torch.uint8 or rows.amax() > 1:
            return None
        examples, places = rows.nonzero().unbind(1)
        if len(places) * RARE > rows.numel():
            return None
        counts.append(torch.bincount(examples, minlength=len(rows)))
        found.append(places.to(PLACES))
    lengths = torch.cat(counts)
    longest = max(int(lengths.max()), 1)
    width = PLACES.itemsize * longest
    if width > features or width * len(lengths) > MOST_BYTES:
        return None
    lists = torch.full((len(lengths), longest), features, dtype=PLACES)
    lists[torch.arange(longest) < lengths[:, None]] = torch.cat(found)
    return lists


def lay_out(network: nn.Module, data: Dataset) -> None:
    """Where the data are lists, lay the first weight as they are summed by it."""
    if data.training.inputs.dtype == PLACES:
        lay_by_columns(next(layer for layer in network.modules() if isinstance(layer, layers.Dense)))
