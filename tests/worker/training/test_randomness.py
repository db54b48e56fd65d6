import pytest
import torch

from worker.training.randomness import choose_algorithms, derive_seed, generator_for, permutation, random_mask


def test_a_permutation_depends_on_seed_and_epoch_only() -> None:
    assert torch.equal(permutation(3, 5, 100), permutation(3, 5, 100))
    assert not torch.equal(permutation(3, 5, 100), permutation(3, 6, 100))
    assert permutation(3, 5, 100).sort().values.tolist() == list(range(100))


def test_neighbouring_positions_have_different_seeds() -> None:
    seeds = {derive_seed(seed, purpose, step) for seed in range(20) for purpose in ("a", "b") for step in range(20)}
    assert len(seeds) == 800


@pytest.mark.parametrize("keep", [0.5, 0.75, 0.9, 0.123, 1.0])
def test_a_mask_keeps_its_share(keep: float) -> None:
    mask = random_mask(torch.Size([1000, 1003]), keep, generator_for(0, "dropout", 1))
    assert mask.shape == (1000, 1003)
    assert mask.double().mean().item() == pytest.approx(keep, abs=4 * (keep * (1 - keep) / 1e6) ** 0.5 + 1e-5)


def test_every_byte_of_a_word_is_evenly_spread() -> None:
    mask = random_mask(torch.Size([100_000, 8]), 0.5, generator_for(0, "dropout", 1))
    assert (mask.double().mean(0) - 0.5).abs().max() < 0.008


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_gpu_is_told_which_algorithms_to_take(monkeypatch: pytest.MonkeyPatch, deterministic: bool) -> None:
    cudnn, deterministically = torch.backends.cudnn, torch.utils.deterministic
    for module, name in (
        (cudnn, "benchmark"), (cudnn, "allow_tf32"), (deterministically, "fill_uninitialized_memory")
    ):  # fmt: skip
        monkeypatch.setattr(module, name, getattr(module, name))  # and put back
    choose_algorithms("cpu", deterministic=True)
    assert not torch.are_deterministic_algorithms_enabled()
    try:
        choose_algorithms("cuda:0", deterministic=deterministic)
        assert torch.are_deterministic_algorithms_enabled() is deterministic
        assert torch.backends.cudnn.benchmark is not deterministic
        assert not torch.backends.cudnn.allow_tf32, "float32 is float32"
    finally:
        torch.use_deterministic_algorithms(False)
