"""Copies are equal, and use their memory again only once it was given back."""

import torch

from worker.training.copying import Copier

TENSORS = {"weight": torch.arange(6.0).view(2, 3).T, "count": torch.tensor(7)}


def test_a_copy_is_equal_and_its_own() -> None:
    copies = Copier().copies(TENSORS)
    for name, tensor in TENSORS.items():
        assert torch.equal(copies[name], tensor)
        assert copies[name].stride() == tensor.stride()
        assert copies[name].data_ptr() != tensor.data_ptr()


def test_what_was_given_back_is_copied_into() -> None:
    copier = Copier()
    first = copier.copies(TENSORS)
    copier.take_back(first)
    again = copier.copies({"weight": TENSORS["weight"] + 1.0})
    assert again["weight"].data_ptr() == first["weight"].data_ptr()
    assert torch.equal(again["weight"], TENSORS["weight"] + 1.0)


def test_what_is_still_read_stays_as_it_is() -> None:
    copier = Copier()
    first = copier.copies(TENSORS)
    copier.copies({name: tensor + 1 for name, tensor in TENSORS.items()})
    assert torch.equal(first["weight"], TENSORS["weight"])
