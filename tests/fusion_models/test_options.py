"""Options of a model that a study file may override, and what is refused."""

from typing import Any

import pytest

from fusion_models.registry import MODELS, build_model

CROP = (16, 16, 16)


def test_an_unknown_option_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no option\(s\) \['layers'\]; known:.*'depth'"):
        build_model(MODELS["pemma-unetr-tiny"], {"layers": 3}, crop_zyx=CROP, seed=0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "vmambax-tiny",
            {"state": 0},
            "option 'state' must be a whole number of at least 1, found 0",
        ),
        ("vmambax-tiny", {"neighbours": -1}, "must be a whole number of at least 0, found -1"),
        (
            "vmambax-tiny",
            {"depths": (1, 0)},
            r"must be a list, each entry a whole number of at least 1, found \(1, 0\)",
        ),
        ("vmambax-tiny", {"depths": 2}, "must be a list, each entry a whole number of at least 1, found 2"),
        ("vmambax-tiny", {"merge": 1}, "must be a word, found 1"),
        ("vmambax-tiny", {"drop_path": "high"}, "must be a number, found 'high'"),
        ("log-vmamba-2d-tiny", {"expansion": 0}, "must be a whole number of at least 1, found 0"),
        ("log-vmamba-3d-tiny", {"variants": (1, 2)}, r"must be a list, each entry a word, found \(1, 2\)"),
        ("pemma-unetr-tiny", {"classes": True}, "must be a whole number of at least 1, found True"),
    ],
)
def test_an_option_of_another_kind_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model(MODELS[name], options, crop_zyx=MODELS[name].crop_zyx, seed=0)


def test_a_count_of_a_part_that_can_be_left_out_may_be_0_and_no_other() -> None:
    row = MODELS["clinicalfmamba-2d-tiny"]
    build_model(row, dict.fromkeys(row.omissible, 0), crop_zyx=row.crop_zyx, seed=0)
    with pytest.raises(ValueError, match="option 'cmca_kernel' must be a whole number of at least 0, found -1"):
        build_model(row, {"cmca_kernel": -1}, crop_zyx=row.crop_zyx, seed=0)
    with pytest.raises(ValueError, match="option 'latent_blocks' must be a whole number of at least 1, found 0"):
        build_model(row, {"latent_blocks": 0}, crop_zyx=row.crop_zyx, seed=0)
