import pytest
import torch

from worker.training.clipping import clip_by_global_norm, gradient_norm


def parameters_with_gradients(scale: float) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(2)
    parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((7, 5), (5,), (3, 2, 3, 3))]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator) * scale
    return parameters


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("norm_type", [1.0, 2.0, float("inf")])
def test_global_norm_clips_as_pytorch_does(scale: float, norm_type: float) -> None:
    ours, theirs = parameters_with_gradients(scale), parameters_with_gradients(scale)
    gradients = [parameter.grad for parameter in ours if parameter.grad is not None]
    norm = gradient_norm(gradients, norm_type)
    clipped = clip_by_global_norm(gradients, norm, 1.0)
    expected = torch.nn.utils.clip_grad_norm_(theirs, 1.0, norm_type)
    torch.testing.assert_close(norm, expected)
    assert bool(clipped) == bool(expected > 1.0)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)
