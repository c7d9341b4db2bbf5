"""PET beside CT: one shared encoder, a merge of PET's own at each map."""

import pytest
import torch
from torch import Tensor, nn

from fusion_models.log_vmamba.pathway import identity, merge_maps

CT, PET = torch.tensor([[1.0, 2.0]]), torch.tensor([[10.0, 20.0]])


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ({"ct": CT}, [[2.0, 4.0], [3.0, 6.0]]),
        ({"pet": PET}, [[10.0, 20.0], [15.0, 30.0]]),
        ({"ct": CT, "pet": PET}, [[12.0, 24.0], [18.0, 36.0]]),
    ],
)
def test_a_map_is_cts_plus_half_of_pets(images: dict[str, Tensor], expected: list[list[float]]) -> None:
    """Maps are 2 x and 3 x, merges fresh, beta 1/2; what is absent drops out, and both pass as one batch."""
    batches: list[int] = []

    def encode(x: Tensor) -> list[Tensor]:
        batches.append(len(x))
        return [2 * x, 3 * x]

    merges = nn.ModuleList(identity(nn.Linear(2, 2)) for _ in range(2))
    stems = {"ct": nn.Identity(), "pet": nn.Identity()}
    with torch.no_grad():
        maps = merge_maps(images, stems=stems, encode=encode, merges=merges, beta=0.5)
    assert [each[0].tolist() for each in maps] == expected
    assert batches == [len(images)]


def test_a_fresh_merge_is_the_identity_of_channels() -> None:
    image = torch.rand(1, 3, 2, 2, 2)
    torch.testing.assert_close(identity(nn.Conv3d(3, 3, 1))(image), image)
