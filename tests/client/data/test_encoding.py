"""Covariates as a vector: the study's constants, and a flag for what is missing."""

from client.data.encoding import encode
from protocol.messages.labels import Category, Covariate, Number

COVARIATES: dict[str, Covariate] = {
    "age": Number(unit="years", minimum=0, maximum=120, mean=60, standard_deviation=10),
    "hpv": Category(values=("0", "1")),
}


def test_a_number_is_scaled_and_a_category_is_one_hot() -> None:
    assert encode({"age": 75.0, "hpv": 1}, COVARIATES) == (1.5, 0.0, 0.0, 1.0, 0.0)


def test_what_is_missing_is_flagged_and_has_no_value() -> None:
    assert encode({"age": None, "hpv": 0}, COVARIATES) == (0.0, 1.0, 1.0, 0.0, 0.0)
    assert encode({"age": 60.0, "hpv": None}, COVARIATES) == (0.0, 0.0, 0.0, 0.0, 1.0)


def test_a_case_without_any_covariate_has_no_vector() -> None:
    assert encode({"age": None, "hpv": None}, COVARIATES) is None
    assert encode({}, {}) is None
