"""Networks against the plan that the API shows: the same names, shapes and counts."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from torch import Tensor, nn

from models.spec import JobSpec, Task, parse_spec, resolve
from models.spec.layers import dropout_places, layers_of
from models.spec.manifest import ImageManifest, ImageSplit
from models.spec.network import Activation, DepthwiseConv
from models.spec.plan import PlannedLayer
from models.spec.task import task_of
from tests.worker.training.little import array_file, bars
from worker.training.layers import is_monotone
from worker.training.network import activate_and_pool, build_network, module_of

SEQUENTIAL = [
    {"type": "conv", "filters": 5, "kernel": 3, "stride": 2, "activation": "relu"},
    {"type": "batch_norm"},
    {"type": "conv", "filters": 6, "kernel": 2, "padding": "valid", "bias": False},
    {"type": "activation", "activation": "tanh"},
    {"type": "max_pooling", "size": 3, "stride": 2},
    {"type": "layer_norm"},
    {"type": "average_pooling"},
    {"type": "dropout", "rate": 0.2},
    {"type": "flatten"},
    {"type": "dense", "units": 7, "activation": "gelu", "name": "middle"},
    {"type": "activation", "activation": "relu"},
    {"type": "dense", "units": 4},
]
NETWORKS: list[dict[str, Any]] = [
    {"type": "mlp"},
    {"type": "mlp", "hidden": [], "activation": "tanh"},
    {"type": "mlp", "hidden": [9, 8], "norm": "batch"},
    {"type": "mlp", "hidden": [9], "norm": "layer", "activation": "gelu"},
    {"type": "cnn"},
    {"type": "cnn", "widths": [4, 5, 6], "head": [], "pooling": "each", "norm": "batch", "activation": "silu"},
    {"type": "cnn", "widths": [4], "padding": "same", "pooling": "none"},
    {"type": "resnet", "depth": 8},
    {"type": "resnet", "depth": 20, "width": 4},
    {"type": "resnet", "depth": 18, "stem": "large", "width": 8},
    {"type": "resnet", "depth": 50, "width": 4},
    {"type": "wide_resnet", "depth": 10, "widen_factor": 1},
    {"type": "wide_resnet", "depth": 16, "widen_factor": 2},
    {"type": "vgg", "depth": 11, "norm": "none"},
    {"type": "vgg", "depth": 13},
    {"type": "convnext", "depths": [1, 2], "widths": [8, 12]},
    {"type": "convnext", "depths": [1, 1], "widths": [8, 12], "stem": "large"},
    {"type": "vit", "patch": 11, "width": 24, "depth": 2, "heads": 4},
    {"type": "vit", "patch": 3, "width": 8, "depth": 1, "heads": 1, "mlp_ratio": 2.0, "pooling": "mean"},
    {"type": "rnn", "width": 9, "activation": "relu"},
    {"type": "lstm", "width": 9, "layers": 2},
    {"type": "lstm", "width": 5, "layers": 2, "bidirectional": True},
    {"type": "gru", "width": 9, "bidirectional": True, "pooling": "mean"},
    {"type": "transformer", "width": 8, "depth": 2, "heads": 2},
    {"type": "transformer", "width": 7, "depth": 1, "heads": 7, "positions": "learned", "pooling": "class"},
    {"type": "sequential", "layers": SEQUENTIAL},
    {
        "type": "sequential",
        "layers": [{"type": "conv", "filters": 3}, {"type": "global_average_pooling"}, {"type": "dense", "units": 4}],
    },
    {
        "type": "sequential",
        "layers": [
            {"type": "depthwise_conv", "multiplier": 2, "stride": 2, "activation": "relu"},
            {"type": "depthwise_conv", "kernel": 2, "padding": "valid", "bias": False},
            {"type": "conv", "filters": 4, "kernel": 1},
            {"type": "global_average_pooling"},
            {"type": "dense", "units": 4},
        ],
    },
    {
        "type": "sequential",
        "layers": [
            {"type": "conv", "filters": 12, "groups": 3},
            {"type": "group_norm", "groups": 4},
            {"type": "global_max_pooling"},
            {"type": "dense", "units": 4},
        ],
    },
]


def task(folder: Path, size: int = 33) -> Task:
    return task_of(spec_of({"type": "mlp"}), manifest(folder, size))


def manifest(folder: Path, size: int) -> ImageManifest:
    images, classes = bars(8, size, 3)
    split = ImageSplit(
        examples=8,
        inputs=array_file(folder, "inputs.npy", images),
        targets=array_file(folder, "targets.npy", classes),
        class_counts=(2, 2, 2, 2),
    )
    names = ("a", "b", "c", "d")
    return ImageManifest(
        channels=3, size=(size, size), classes=names, mean=(0.5,) * 3, std=(0.2,) * 3, splits={"train": split}
    )


def spec_of(network: dict[str, Any], **words: Any) -> JobSpec:
    return parse_spec({"dataset": {"id": "x"}, "network": network, "training": {"epochs": 1}, **words})


def built(folder: Path, network: dict[str, Any], **words: Any) -> tuple[nn.Module, tuple[PlannedLayer, ...]]:
    spec = resolve(spec_of(network, **words), manifest(folder, 33))
    here = task_of(spec, manifest(folder, 33))
    return build_network(spec, here), layers_of(spec.network, here.input_shape, here.outputs)


def pictures(examples: int = 2) -> Tensor:
    return torch.randn(examples, 3, 33, 33, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network["type"])
def test_a_network_has_the_parameters_of_its_plan(tmp_path: Path, network: dict[str, Any]) -> None:
    module, plan = built(tmp_path, network)
    assert sum(parameter.numel() for parameter in module.parameters()) == sum(layer.parameters for layer in plan)
    assert sum(buffer.numel() for buffer in module.buffers()) == sum(layer.buffers for layer in plan)


@pytest.mark.parametrize("network", NETWORKS[:-4], ids=lambda network: network["type"])
def test_its_weights_have_the_names_of_the_layers(tmp_path: Path, network: dict[str, Any]) -> None:
    module, plan = built(tmp_path, network)
    planned = {
        f"{layer.name}.weight": layer.kernel or layer.norm // 2 or layer.learned for layer in plan if layer.parameters
    }
    weights = {name: value.numel() for name, value in module.named_parameters() if name.endswith("weight")}
    assert weights == planned


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network["type"])
def test_a_checkpoint_has_the_tensors_of_the_plan(tmp_path: Path, network: dict[str, Any]) -> None:
    module, plan = built(tmp_path, network)
    kept = {spec_name(name): tuple(value.shape) for name, value in module.state_dict().items()}
    assert kept == {f"{layer.name}.{name}": shape for layer in plan for name, shape in layer.tensors.items()}


def spec_name(tensor: str) -> str:
    """The one layer of `SEQUENTIAL` that has a name of its own."""
    return tensor.replace("layers.9.", "middle.")


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network["type"])
def test_it_gives_logits_and_every_parameter_a_gradient(tmp_path: Path, network: dict[str, Any]) -> None:
    module, _ = built(tmp_path, network)
    outputs = module.train()(pictures())
    outputs.square().sum().backward()
    assert outputs.shape == (2, 4)
    assert all(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network["type"])
def test_every_layer_gives_the_shape_of_its_plan(tmp_path: Path, network: dict[str, Any]) -> None:
    module, plan = built(tmp_path, network)
    shapes: list[tuple[int, ...]] = []
    for one in module.modules():
        if isinstance(one, nn.Conv2d | nn.Linear):
            one.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape[1:])))
    module.eval()(pictures())
    assert sorted(shapes) == sorted(layer.output for layer in plan if layer.kind in ("conv", "dense"))


@pytest.mark.parametrize("activation", get_args(Activation))
def test_pooling_first_changes_nothing_where_it_is_done(activation: Activation) -> None:
    x = pictures()
    first = activate_and_pool(x.clone(), activation)
    expected = nn.functional.max_pool2d(activated(x, activation), 2)
    assert torch.equal(first, expected)
    assert is_monotone(activation) == (activation not in ("gelu", "silu"))


def activated(x: Tensor, activation: Activation) -> Tensor:
    match activation:
        case "linear":
            return x
        case "tanh" | "sigmoid":
            return getattr(torch, activation)(x)  # type: ignore[no-any-return]
        case _:
            return getattr(nn.functional, activation)(x)  # type: ignore[no-any-return]


def test_dropout_stands_behind_the_named_layer_and_only_in_training(tmp_path: Path) -> None:
    words = {"regularization": [{"type": "dropout", "rate": 0.75, "after": ["hidden.0"]}]}
    module, _ = built(tmp_path, {"type": "mlp", "hidden": [2000], "activation": "sigmoid"}, **words)
    seen: list[Tensor] = []
    module.output.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))  # type: ignore[union-attr]
    module.train()(pictures())
    module.eval()(pictures())
    in_training, in_evaluation = seen
    zeros = in_training == 0
    assert zeros.float().mean().item() == pytest.approx(0.75, abs=0.04)
    torch.testing.assert_close(in_training[~zeros], 4 * in_evaluation[~zeros])
    assert not (in_evaluation == 0).any()


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network["type"])
def test_dropout_acts_at_every_place_where_it_may_stand(tmp_path: Path, network: dict[str, Any]) -> None:
    for place in dropout_places(spec_of(network).network):
        words = {"regularization": [{"type": "dropout", "rate": 0.5, "after": [place]}]}
        module, _ = built(tmp_path, network, **words)
        assert not same_twice(module.train()), place


def same_twice(module: nn.Module) -> bool:
    """Whether the output depends on the input alone; with the same running averages on both runs."""
    first, second = (module(pictures()) for _ in range(2))
    return torch.equal(first, second)


def test_a_batch_of_one_is_normalized_as_in_evaluation(tmp_path: Path) -> None:
    module, _ = built(tmp_path, {"type": "mlp", "norm": "batch"})
    one = pictures(1)
    assert torch.equal(module.train()(one), module.eval()(one))


def test_a_layer_starts_as_it_says_itself(tmp_path: Path) -> None:
    layers = [{"type": "flatten"}, {"type": "dense", "units": 3, "initialization": {"type": "ones"}}]
    module, _ = built(tmp_path, {"type": "sequential", "layers": [*layers, {"type": "dense", "units": 4}]})
    weights = dict(module.named_parameters())
    assert (weights["layers.1.weight"] == 1).all()
    assert not (weights["layers.2.weight"] == 1).any()


def test_a_depthwise_convolution_sees_each_channel_alone() -> None:
    layer = DepthwiseConv(multiplier=2, padding="valid")
    module, shape = module_of(layer, (3, 7, 6))
    x = torch.randn(1, 3, 7, 6, generator=torch.Generator().manual_seed(0))
    weight, bias = (parameter.detach() for parameter in module.parameters())
    expected = [
        correlate2d(x[0, channel // 2], weight[channel, 0], mode="valid") + bias[channel].item() for channel in range(6)
    ]
    assert shape == (6, 5, 4)
    torch.testing.assert_close(module(x)[0].detach(), torch.from_numpy(np.stack(expected)), rtol=1e-5, atol=1e-5)
