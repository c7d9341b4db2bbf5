"""What the router knows of each center."""

import numpy as np
import pytest

from strategies.continual.prototypes import Prototype, check, prototypes_of


def block(mean: float, count: int, scatter: float) -> "dict[str, np.ndarray]":
    return {
        "mean": np.array([mean], dtype=np.float32),
        "scatter": np.array([[scatter]], dtype=np.float32),
        "count": np.array([count], dtype=np.float32),
    }


def kept(**blocks: "dict[str, np.ndarray]") -> "dict[str, np.ndarray]":
    return {f"features.{name}@{part}": array for name, parts in blocks.items() for part, array in parts.items()}


def test_prototypes_come_from_what_is_kept_of_centers() -> None:
    """Joint blocks: 4 of 8 CT cases count, so that the CT scatter halves. A CT-only center has no joint prototype."""
    own = {"mda": kept(ct=block(1, 8, 6), pet=block(2, 4, 5)), "chuv": kept(ct=block(3, 9, 1)), "hgj": {}}
    (joint,) = prototypes_of(own, ("features.ct", "features.pet"))
    assert (joint.center, joint.count, joint.mean.tolist()) == ("mda", 4, [1, 2])
    assert joint.scatter.tolist() == [[3, 0], [0, 5]]
    assert [each.center for each in prototypes_of(own, ("features.ct",))] == ["chuv", "mda"]


def test_a_center_without_a_block_has_no_prototype_there() -> None:
    own = {"mda": kept(ct=block(1, 8, 6))}
    assert prototypes_of(own, ("features.ct", "features.pet")) == ()


def test_prototypes_of_one_size_fit_together() -> None:
    rows = [Prototype(name, 2, np.zeros(3), np.eye(3)) for name in "ab"]
    check(rows)
    with pytest.raises(ValueError, match="expected at least one center, each once, and one size"):
        check([*rows, Prototype("c", 2, np.zeros(2), np.eye(2))])
    with pytest.raises(ValueError, match=r"centers \['c'\] have no case"):
        check([*rows, Prototype("c", 0, np.zeros(3), np.eye(3))])


BAD = {
    "not a number": {"mean": np.array([np.nan])},
    "huge": {"mean": np.array([3e38])},
    "no cases": {"count": np.array([0])},
    "cases that are no number": {"count": np.array([np.nan])},
    "cases without end": {"count": np.array([np.inf])},
    "two counts": {"count": np.array([3, 3])},
    "negative": {"scatter": np.array([[-1.0]])},
    "infinite scatter": {"scatter": np.array([[np.inf]])},
    "another size": {"mean": np.zeros(2), "scatter": np.eye(2)},
    "sizes that contradict": {"mean": np.zeros(3)},
    "no vector": {"mean": np.zeros((1, 1))},
    "empty": {"mean": np.zeros(0), "scatter": np.zeros((0, 0))},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_prototype_costs_its_center_alone_its_route(
    bad: "dict[str, np.ndarray]", caplog: pytest.LogCaptureFixture
) -> None:
    liar = {**block(1, 8, 6), **{part: array.astype(np.float32) for part, array in bad.items()}}
    own = {"liar": kept(ct=liar), "chuv": kept(ct=block(3, 9, 1)), "hgj": kept(ct=block(2, 9, 1))}
    assert [row.center for row in prototypes_of(own, ("features.ct",))] == ["chuv", "hgj"]
    assert "center 'liar' has no route" in caplog.text


def test_of_two_sizes_as_many_centers_have_that_of_more_cases_stays() -> None:
    wide = {"mean": np.zeros(2, np.float32), "scatter": np.eye(2, dtype=np.float32), "count": np.array([3], np.float32)}
    own = {"a": kept(ct=block(1, 8, 6)), "b": kept(ct=wide)}
    assert [row.center for row in prototypes_of(own, ("features.ct",))] == ["a"]
