"""Batches: what is drawn, what a setting leaves out, and how arrays are stacked."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from client.data.crops import apply_crop, draw_crop
from client.data.preprocessing import PreparedCase
from client.tasks.batches import CROPS_PER_CASE, draw_crops, plain_crops, stack
from client.tasks.contract import Batch
from protocol.messages.recipe import UNVARIED, Augmentation
from protocol.messages.settings import Preprocessing

CPU = torch.device("cpu")
CROP = (2, 3, 4)
GRID = Preprocessing(crop_zyx=CROP)


def case(name: str, first: float = 0.0, **others: np.ndarray) -> PreparedCase:
    """Images of 4 x 4 x 4 voxels and two covariates."""
    ct = np.arange(64, dtype=np.float32).reshape(4, 4, 4)
    return PreparedCase(name, ct, 2 * ct, others, np.array([first, 1], np.float32))


def table_case() -> PreparedCase:
    return PreparedCase("row", ehr=np.array([3], np.float32), targets={"classification": np.array(1)})


def test_a_batch_holds_what_the_setting_names() -> None:
    batch = stack([case("a", 5), case("b", 6)], "ct+ehr", CPU)
    assert batch.ct is not None
    assert batch.ehr is not None
    assert (batch.cases, batch.setting, batch.ct.shape) == (("a", "b"), "ct+ehr", (2, 1, 4, 4, 4))
    assert batch.pet is None
    assert batch.ehr.tolist() == [[5, 1], [6, 1]]


def test_targets_have_a_channel_where_they_lie_on_the_grid() -> None:
    times = np.array([[30, 1], [np.nan, np.nan]])
    one = case("a", segmentation=np.ones((4, 4, 4), np.uint8), classification=np.array(1), survival=times)
    found = stack([one, one], "ct", CPU).targets
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {
        "segmentation": (2, 1, 4, 4, 4),
        "classification": (2,),
        "survival": (2, 2, 2),
    }
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}


def test_a_target_that_a_case_lacks_is_not_in_the_batch() -> None:
    some = [case("a", classification=np.array(1)), case("b")]
    assert stack(some, "ct", CPU).targets == {}


def test_a_training_batch_is_of_crops() -> None:
    batch = draw_crops([case("a"), case("b")], "ct+pet", 3, GRID, CPU, np.random.default_rng(0), UNVARIED)
    assert batch.ct is not None
    assert batch.pet is not None
    assert batch.ct.shape == batch.pet.shape == (3, 1, *CROP)
    assert set(batch.cases) <= {"a", "b"}


def lesion_case(name: str = "a") -> PreparedCase:
    """One voxel of contour in 1,000."""
    mask = np.zeros((10, 10, 10), np.uint8)
    mask[9, 0, 5] = 1
    ct = np.random.default_rng(0).random((10, 10, 10), dtype=np.float32)
    return PreparedCase(name, ct, ct**2, {"segmentation": mask})


def drawn(setting: str = "ct+pet", seed: int = 0, *, case: PreparedCase, **asked: Any) -> Batch:
    """Eight crops of one case."""
    rng, asked_for = np.random.default_rng(seed), Augmentation.model_validate(asked)
    return draw_crops([case], setting, 8, GRID, CPU, rng, asked_for)


def test_without_a_recipe_crops_are_drawn_and_cut_as_they_always_were() -> None:
    """A case, then where its crop starts on three axes, three flips, two factors and a shift, crop after crop."""
    rng, plain = np.random.default_rng(4), np.random.default_rng(4)
    some = lesion_case()
    batch = draw_crops([some], "ct+pet", 3, GRID, CPU, rng, UNVARIED)
    assert [int(plain.integers(1)) for _ in range(3)] == [0, 0, 0]
    crops = [apply_crop(some, draw_crop((10, 10, 10), CROP, plain)) for _ in range(3)]
    expected = stack(crops, "ct+pet", CPU)
    assert expected.ct is not None
    assert batch.ct is not None
    assert torch.equal(batch.ct, expected.ct)
    assert torch.equal(batch.pet, expected.pet)  # type: ignore[arg-type]
    assert torch.equal(batch.targets["segmentation"], expected.targets["segmentation"])
    assert batch.ct.stride() == expected.ct.stride()
    assert rng.random() == plain.random()


def test_every_lesion_crop_holds_the_contour_and_of_others_hardly_any() -> None:
    assert [int(mask.sum()) for mask in drawn(case=lesion_case(), lesion_crops=1.0).targets["segmentation"]] == [1] * 8
    assert sum(int(mask.sum()) for mask in drawn(case=lesion_case()).targets["segmentation"]) < 4


def test_a_case_without_a_contour_asks_for_no_lesion_crop() -> None:
    bare = replace(lesion_case(), targets={"classification": np.array(1)})
    with_share, without = drawn(case=bare, lesion_crops=1.0), drawn(case=bare)
    assert torch.equal(with_share.ct, without.ct)  # type: ignore[arg-type]


def test_a_batch_repeats_from_its_generator_however_it_is_varied() -> None:
    asked: dict[str, Any] = {
        "affine": 0.5,
        "elastic": 0.5,
        "gamma": 0.5,
        "noise": 0.5,
        "misalignment": 0.5,
        "lesion_crops": 0.5,
    }
    first, again, other = (drawn(case=lesion_case(), seed=seed, **asked) for seed in (1, 1, 2))
    assert torch.equal(first.ct, again.ct)  # type: ignore[arg-type]
    assert torch.equal(first.pet, again.pet)  # type: ignore[arg-type]
    assert not torch.equal(first.ct, other.ct)  # type: ignore[arg-type]


def test_a_varied_batch_holds_only_what_the_setting_names() -> None:
    batch = drawn("pet", case=lesion_case(), affine=1.0, gamma=1.0, misalignment=1.0)
    assert batch.ct is None
    assert batch.pet is not None
    assert batch.pet.shape == (8, 1, *CROP)
    assert batch.pet.is_contiguous(memory_format=torch.channels_last_3d)


def test_ct_of_a_varied_batch_does_not_depend_on_pet_beside_it() -> None:
    both, alone = (
        drawn(setting, case=lesion_case(), affine=1.0, gamma=1.0, misalignment=1.0) for setting in ("ct+pet", "ct")
    )
    assert torch.equal(both.ct, alone.ct)  # type: ignore[arg-type]


def test_observed_crops_are_placed_blindly_and_not_varied() -> None:
    """Nothing tells them of a recipe: the voxel of the contour is in few of them."""
    passes = plain_crops(lesion_case(), ["ct"], CROP, CPU, np.random.default_rng(0))
    assert sum(int(batch.targets["segmentation"].sum()) for batch in passes) == 0


def test_a_case_of_the_table_is_drawn_without_a_crop() -> None:
    batch = draw_crops([table_case()], "ehr", 2, GRID, CPU, np.random.default_rng(0), UNVARIED)
    assert batch.ehr is not None
    assert (batch.ct, batch.ehr.tolist(), batch.targets["classification"].tolist()) == (None, [[3], [3]], [1, 1])


def test_passes_show_the_same_crops_under_every_setting_and_covariates_alone_once() -> None:
    passes = plain_crops(case("a"), ["ct", "ehr", "ct+pet"], CROP, CPU, np.random.default_rng(0))
    assert [batch.setting for batch in passes] == ["ct", "ct+pet"] * CROPS_PER_CASE + ["ehr"]
    assert all(torch.equal(passes[i].ct, passes[i + 1].ct) for i in range(0, 8, 2))  # type: ignore[arg-type]


def test_passes_of_a_row_of_the_table_draw_nothing() -> None:
    rng = np.random.default_rng(0)
    (batch,) = plain_crops(table_case(), ["ehr"], CROP, CPU, rng)
    assert batch.cases == ("row",)
    assert rng.random() == np.random.default_rng(0).random()
