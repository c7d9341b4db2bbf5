"""Batches: what is drawn, what a setting leaves out, and how arrays are stacked."""

import numpy as np
import torch

from client.data.preprocessing import PreparedCase
from client.tasks.batches import CROPS_PER_CASE, draw_crops, plain_crops, stack

CPU = torch.device("cpu")
CROP = (2, 3, 4)


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
    batch = draw_crops([case("a"), case("b")], "ct+pet", 3, CROP, CPU, np.random.default_rng(0))
    assert batch.ct is not None
    assert batch.pet is not None
    assert batch.ct.shape == batch.pet.shape == (3, 1, *CROP)
    assert set(batch.cases) <= {"a", "b"}


def test_a_case_of_the_table_is_drawn_without_a_crop() -> None:
    batch = draw_crops([table_case()], "ehr", 2, CROP, CPU, np.random.default_rng(0))
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
