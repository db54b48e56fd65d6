"""Encoder blocks against PyTorch's own."""

import torch
from torch import nn

from worker.training.dropout import NamedDropout
from worker.training.encoder import NORM_EPSILON, EncoderBlock


def reference(block: EncoderBlock) -> nn.TransformerEncoderLayer:
    """PyTorch's layer with the same weights."""
    layer = nn.TransformerEncoderLayer(12, 3, 20, 0.0, "gelu", NORM_EPSILON, batch_first=True, norm_first=True)
    pairs = [(layer.norm1, block.norm1), (layer.norm2, block.norm2), (layer.self_attn.out_proj, block.projection)]
    for theirs, ours in [*pairs, (layer.linear1, block.expand), (layer.linear2, block.contract)]:
        theirs.load_state_dict(ours.state_dict())
    weights = block.query_key_value.state_dict()
    layer.self_attn.load_state_dict({f"in_proj_{name}": value for name, value in weights.items()}, strict=False)
    return layer


def test_a_block_is_pytorchs_with_the_norms_first() -> None:
    torch.manual_seed(0)
    block = EncoderBlock(12, 3, 20)
    x = torch.randn(4, 7, 12)
    found = block(x, NamedDropout({}, "cpu"), "blocks.0")
    torch.testing.assert_close(found, reference(block)(x))
