"""What a center holds to beside what a study asks for: never weaker, stricter where it says so."""

from pathlib import Path
from typing import Any

import pytest

from client.home.own_privacy import OwnPrivacy, agree_on_privacy, read_own_privacy
from protocol.errors import PrivacyError
from protocol.messages.privacy import Privacy

STUDY = Privacy(epsilon=8, delta=1e-3, clip_norm=1.0)


def own(**changes: Any) -> OwnPrivacy:
    return OwnPrivacy.model_validate({"epsilon": 3, "delta": 1e-4} | changes)


def agreed(asked: Privacy | None, held: OwnPrivacy | None) -> Privacy | None:
    return agree_on_privacy(asked, held, "north", "lungs")


def test_a_center_without_a_file_has_what_the_study_asks_for() -> None:
    assert agreed(STUDY, None) == STUDY
    assert agreed(None, None) is None


def test_a_study_that_asks_for_less_is_refused_with_both_numbers() -> None:
    with pytest.raises(PrivacyError, match=r"study 'lungs' asks for less privacy than center 'north' holds to") as told:
        agreed(STUDY, own(clip_norm=0.5))
    assert "epsilon 8, here at most 3, delta 0.001, here at most 0.0001, clip_norm 1, here at most 0.5" in str(
        told.value
    )


@pytest.mark.parametrize("weaker", ["refuse", "tighten"])
def test_a_study_without_privacy_is_refused_whatever_the_center_would_tighten(weaker: str) -> None:
    with pytest.raises(PrivacyError, match=r"has no \[privacy\]; ask the coordinator for \[privacy\] epsilon = 3"):
        agreed(None, own(weaker=weaker))


def test_a_center_that_tightens_trains_with_the_stricter_of_each_number() -> None:
    found = agreed(Privacy(epsilon=8, delta=1e-5, clip_norm=1.0), own(weaker="tighten", clip_norm=0.5))
    assert found == Privacy(epsilon=3, delta=1e-5, clip_norm=0.5)


def test_norms_of_groups_shrink_together() -> None:
    """3 and 4 are 5 together; held to 1 they are 0.6 and 0.8."""
    asked = Privacy(epsilon=1, delta=1e-5, clip_norm={"peft": 3, "pet": 4})
    found = agreed(asked, own(weaker="tighten", clip_norm=1))
    assert found is not None
    assert found.clip_norm == pytest.approx({"peft": 0.6, "pet": 0.8})


def test_a_stricter_study_stays_as_it_is() -> None:
    strict = Privacy(epsilon=1, delta=1e-5, clip_norm=0.1)
    assert agreed(strict, own(clip_norm=0.5)) == strict


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("epsilon = inf\ndelta = 1e-4", "epsilon: Value error, found inf; write a number above 0"),
        ("epsilon = 3\ndelta = 1", "delta: Value error, found 1; write a probability"),
        ("epsilon = 3\ndelta = 1e-4\nmore = 1", "more: Extra inputs"),
        ("epsilon = ", "is not valid TOML"),
    ],
)
def test_a_file_that_promises_nothing_is_refused_by_key(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "privacy.toml").write_text(text)
    with pytest.raises(PrivacyError, match=told):
        read_own_privacy(tmp_path / "privacy.toml")


def test_a_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "privacy.toml").write_text('epsilon = 3\ndelta = 1e-4\nweaker = "tighten"\n')
    assert read_own_privacy(tmp_path / "privacy.toml") == own(weaker="tighten")
    with pytest.raises(PrivacyError, match="cannot be read"):
        read_own_privacy(tmp_path / "absent.toml")
