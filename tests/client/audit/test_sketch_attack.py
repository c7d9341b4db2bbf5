import numpy as np
import pytest

from client.audit.sketch_attack import gram_score, prototype_score


def arrays(**rows: list[list[float]]) -> dict[str, np.ndarray]:
    return {f"{name}@gram": np.array(row, dtype=np.float32) for name, row in rows.items()}


def test_a_sketch_spans_what_of_a_patient_lies_in_its_rows() -> None:
    """Of (3, 4), whose energy is 25, the row (1, 0) spans 9: 16 / 25 are left."""
    assert gram_score(arrays(m=[[2, 0]]), arrays(m=[[3, 4]])) == pytest.approx(-0.64)


def test_the_mean_is_over_modules() -> None:
    released, own = arrays(m=[[2, 0]], n=[[0, 1]]), arrays(m=[[3, 4]], n=[[0, 7]])
    assert gram_score(released, own) == pytest.approx(-0.32)


def test_a_patient_without_a_module_has_no_score() -> None:
    assert np.isnan(gram_score(arrays(m=[[1, 0]]), {}))


def test_features_are_counted_in_standard_deviations() -> None:
    """Scatter 8 over two cases is a deviation of 2, and 4 from the mean two of them; what never varies counts not."""
    released = {
        "features.ct@mean": np.array([1.0, 5.0], np.float32),
        "features.ct@scatter": np.array([[8.0, 0.0], [0.0, 0.0]], np.float32),
    }
    own = {"features.ct@mean": np.array([5.0, 5.0], np.float32)}
    assert prototype_score(released, own, 2, "ct") == pytest.approx(-2)
    assert np.isnan(prototype_score(released, own, 2, "pet"))
