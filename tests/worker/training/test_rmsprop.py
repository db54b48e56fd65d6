import pytest
import torch

from worker.training.rmsprop import RMSprop


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("centered", [False, True])
def test_rmsprop_takes_pytorchs_steps(momentum: float, centered: bool) -> None:
    ours, theirs = torch.nn.Parameter(torch.ones(5, 3)), torch.nn.Parameter(torch.ones(5, 3))
    mine = RMSprop([ours], lr=0.01, alpha=0.9, eps=1e-7, momentum=momentum, centered=centered)
    other = torch.optim.RMSprop([theirs], 0.01, 0.9, 1e-7, momentum=momentum, centered=centered)
    for step in range(6):
        gradient = torch.randn(5, 3, generator=torch.Generator().manual_seed(step))
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        other.step()
    torch.testing.assert_close(ours, theirs)


def test_a_skipped_step_changes_nothing() -> None:
    weight = torch.nn.Parameter(torch.ones(4))
    optimizer = RMSprop([weight], lr=0.1, alpha=0.9, eps=1e-7, momentum=0.9, centered=True)
    weight.grad = torch.full((4,), 0.5)
    optimizer.step()
    before = {"weight": weight.detach().clone(), **{k: v.clone() for k, v in optimizer.state[weight].items()}}
    weight.grad = torch.full((4,), float("nan"))
    optimizer.found_inf = torch.tensor(1.0)
    optimizer.step()
    after = {"weight": weight.detach(), **optimizer.state[weight]}
    assert all(torch.equal(before[name], after[name]) for name in before)
