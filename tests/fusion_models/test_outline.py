"""Models for their shapes alone."""

import pytest
import torch
from torch import nn

from fusion_models.outline import outline


class Reader(nn.Linear):
    """Reads a value while it is built, as MONAI's SwinTransformer does."""

    def __init__(self) -> None:
        super().__init__(2, int(torch.linspace(0, 3, 4)[-1].item()))


def test_what_reads_no_value_has_no_memory() -> None:
    assert outline(lambda: nn.Linear(2, 3)).weight.is_meta


def test_what_reads_a_value_is_built_for_real() -> None:
    found = outline(Reader)
    assert found.weight.shape == (3, 2)
    assert not found.weight.is_meta


def test_what_cannot_be_built_says_why() -> None:
    def build() -> nn.Module:
        raise ValueError("heads must divide the width")

    with pytest.raises(ValueError, match="heads must divide the width"):
        outline(build)
