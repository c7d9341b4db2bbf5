"""PET beside CT: one shared encoder, a merge of PET's own at each map."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusion_models.gates import Gain
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


@pytest.mark.parametrize(("gain", "expected"), [(0.0, [[2.0, 4.0]]), (0.1, [[3.0, 6.0]])])
def test_gains_weigh_pet_beside_ct_and_never_alone(gain: float, expected: list[list[float]]) -> None:
    """2 x CT plus gain x half of 2 x PET, each encoded by itself; PET alone stays half of 2 x PET."""
    batches: list[int] = []

    def encode(x: Tensor) -> list[Tensor]:
        batches.append(len(x))
        return [2 * x]

    parts: dict[str, Any] = {
        "stems": {"ct": nn.Identity(), "pet": nn.Identity()},
        "encode": encode,
        "merges": nn.ModuleList([identity(nn.Linear(2, 2))]),
        "beta": 0.5,
        "gains": nn.ModuleList([Gain(2, gain, axis=-1)]),
    }
    with torch.no_grad():
        torch.testing.assert_close(merge_maps({"ct": CT, "pet": PET}, **parts)[0], torch.tensor(expected))
        assert merge_maps({"pet": PET}, **parts)[0].tolist() == [[10.0, 20.0]]
    assert batches == [1, 1, 1]


def test_a_fresh_merge_is_the_identity_of_channels() -> None:
    image = torch.rand(1, 3, 2, 2, 2)
    torch.testing.assert_close(identity(nn.Conv3d(3, 3, 1))(image), image)
