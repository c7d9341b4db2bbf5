"""A block over two streams: closed it is the block over each, open it is the block over both at once."""

import pytest
import torch
from monai.networks.blocks.transformerblock import TransformerBlock

from fusion_models.gates import Gate
from fusion_models.pemma.joint_attention import advance, attend

HEADS, WIDTH = 2, 8


@pytest.fixture
def block() -> TransformerBlock:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TransformerBlock(WIDTH, 16, HEADS).eval()


@pytest.fixture
def streams() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, rows, WIDTH, generator=generator) for rows in (5, 3)]


def test_closed_it_is_monais_block_on_each_stream_bit_for_bit(
    block: TransformerBlock, streams: list[torch.Tensor]
) -> None:
    found = advance(block, streams, Gate(HEADS, 0.0))
    assert all(torch.equal(own, block(stream)) for own, stream in zip(found, streams, strict=True))


def test_open_it_is_monais_block_on_the_joined_sequence(block: TransformerBlock, streams: list[torch.Tensor]) -> None:
    found = torch.cat(advance(block, streams, Gate(HEADS, 1.0)), dim=1)
    torch.testing.assert_close(found, block(torch.cat(streams, dim=1)))


def test_each_head_has_a_gate_of_its_own(block: TransformerBlock, streams: list[torch.Tensor]) -> None:
    """With the identity behind it, attention of one head fills one half of the width."""
    attention = block.attn
    attention.out_proj = torch.nn.Identity()
    first = Gate(HEADS, 0.0)
    with torch.no_grad():
        first.gate[0] = 1.0
    closed, opened, mixed = (attend(streams, attention, g)[0] for g in (Gate(HEADS, 0.0), Gate(HEADS, 1.0), first))
    assert torch.equal(mixed[..., : WIDTH // 2], opened[..., : WIDTH // 2])
    assert torch.equal(mixed[..., WIDTH // 2 :], closed[..., WIDTH // 2 :])


def test_one_stream_is_the_block_itself(block: TransformerBlock, streams: list[torch.Tensor]) -> None:
    for gate in (None, Gate(HEADS, 1.0)):
        assert torch.equal(advance(block, streams[:1], gate)[0], block(streams[0]))
