"""The settings that modalities allow."""

from protocol.modalities import MODALITIES, SETTINGS, modalities_in, parts_of, settings_within


def test_a_setting_is_every_combination_of_modalities_once() -> None:
    assert {parts_of(setting) for setting in SETTINGS} == {
        frozenset(name for bit, name in enumerate(MODALITIES) if number >> bit & 1) for number in range(1, 8)
    }
    assert len(SETTINGS) == 7


def test_a_setting_names_its_modalities_in_one_order() -> None:
    found = [modalities_in(setting) for setting in ("pet", "ct+ehr", "ehr+pet+ct")]
    assert found == [("pet",), ("ct", "ehr"), ("ct", "pet", "ehr")]


def test_the_fullest_setting_comes_last() -> None:
    assert settings_within({"pet", "ct"}) == ("ct", "pet", "ct+pet")
    assert settings_within(MODALITIES)[-1] == "ct+pet+ehr"
    assert settings_within(["ehr"]) == ("ehr",)
    assert settings_within([]) == ()
