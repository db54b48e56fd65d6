import numpy as np
import pytest
import torch

from worker.training import clipping
from worker.training.clipping import (
    History,
    clip_adaptively,
    clip_by_global_norm,
    clip_by_norm,
    clip_by_value,
    gradient_norm,
)


def parameters_with_gradients(scale: float) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(2)
    parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((7, 5), (5,), (3, 2, 3, 3))]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator) * scale
    return parameters


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("norm_type", [1.0, 2.0, float("inf")])
@pytest.mark.parametrize("asked", [True, False])
def test_global_norm_clips_as_pytorch_does(
    scale: float, norm_type: float, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clipping, "is_known", lambda _: asked)
    ours, theirs = parameters_with_gradients(scale), parameters_with_gradients(scale)
    gradients = [parameter.grad for parameter in ours if parameter.grad is not None]
    norm = gradient_norm(gradients, norm_type)
    clipped = clip_by_global_norm(gradients, norm, 1.0)
    expected = torch.nn.utils.clip_grad_norm_(theirs, 1.0, norm_type)
    torch.testing.assert_close(norm, expected)
    assert bool(clipped) == bool(expected > 1.0)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_every_parameter_is_clipped_on_its_own(scale: float) -> None:
    ours, theirs = parameters_with_gradients(scale), parameters_with_gradients(scale)
    clipped = clip_by_norm([parameter.grad for parameter in ours if parameter.grad is not None], 1.0)
    norms = [torch.nn.utils.clip_grad_norm_(parameter, 1.0) for parameter in theirs]
    assert bool(clipped) == any(norm > 1.0 for norm in norms)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_values_are_cut_off_as_pytorch_does(scale: float) -> None:
    ours, theirs = parameters_with_gradients(scale), parameters_with_gradients(scale)
    clipped = clip_by_value([parameter.grad for parameter in ours if parameter.grad is not None], 0.5)
    torch.nn.utils.clip_grad_value_(theirs, 0.5)
    assert bool(clipped) == (scale > 1e-3)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


@pytest.mark.parametrize("scale", [1e-6, 1.0])
def test_units_are_clipped_to_a_share_of_their_weights(scale: float) -> None:
    parameters = parameters_with_gradients(scale)
    with torch.no_grad():
        for parameter in parameters[1:]:
            parameter.fill_(2.0)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    before = [gradient.clone() for gradient in gradients]
    clipped = clip_adaptively(list(parameters), gradients, 0.01, 1e-3)
    assert bool(clipped) == (scale == 1.0)
    for parameter, gradient, old in zip(parameters, gradients, before, strict=True):
        units = len(parameter) if parameter.dim() > 1 else 1
        for weights, mine, given in zip(
            parameter.view(units, -1), gradient.view(units, -1), old.view(units, -1), strict=True
        ):
            most = 0.01 * max(weights.norm().item(), 1e-3)
            torch.testing.assert_close(mine, given * min(1.0, most / given.norm().item()))


@pytest.mark.parametrize("percentile", [0.0, 10.0, 50.0, 97.5])
def test_a_percentile_is_numpys_over_the_last_norms(percentile: float) -> None:
    norms = np.random.default_rng(0).lognormal(size=25).astype(np.float32)
    history = History(8, torch.device("cpu"))
    for index, norm in enumerate(norms):
        history.add(torch.tensor(norm), torch.zeros(()))
        history.add(torch.tensor(float("nan")), torch.ones(()))
        expected = np.percentile(norms[max(0, index - 7) : index + 1], percentile)
        assert history.percentile(percentile).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6])
def test_high_norms_do_not_leave_float32(size: float) -> None:
    gradients = [size * torch.tensor([0.3, -1.0]), size * torch.tensor([[0.9]])]
    expected = size * sum(entry**100 for entry in (0.3, 1.0, 0.9)) ** 0.01
    torch.testing.assert_close(gradient_norm(gradients, 100.0), torch.tensor(expected))
    assert clip_by_norm(gradients, 0.5 * size, 100.0)
    torch.testing.assert_close(gradients[1], torch.tensor([[0.5 * size]]), rtol=1e-2, atol=0.0)
    assert not gradient_norm([torch.tensor([torch.inf, 1.0])], 100.0).isfinite()
    assert gradient_norm([torch.zeros(2)], 100.0) == 0.0
