import pytest

from reporting.benefits import benefit_line, in_order_of_inputs, shown_difference, verdict

KNOWN = {"state": "known", "cases": 5, "difference": 0.03, "low": 0.01, "high": 0.05}
NOTHING = {"difference": None, "low": None, "high": None}


@pytest.mark.parametrize(
    ("entry", "shown", "said"),
    [
        (KNOWN, "+0.030 [+0.010, +0.050]", "better with federation"),
        (
            {**KNOWN, "difference": -0.03, "low": -0.05, "high": -0.01},
            "-0.030 [-0.050, -0.010]",
            "worse with federation",
        ),
        ({**KNOWN, "low": -0.01}, "+0.030 [-0.010, +0.050]", "not decided"),
        ({**KNOWN, "cases": 1, "low": None, "high": None}, "+0.030", "one case says nothing of its noise"),
        ({**KNOWN, "low": None, "high": None}, "+0.030", "its noise is not known"),
        ({**NOTHING, "state": "undefined", "cases": 5}, "undefined", "nothing defines it"),
        ({**NOTHING, "state": "withheld", "cases": 2}, "withheld", "too few cases to say"),
    ],
)
def test_every_state_has_a_word_of_its_own(entry: dict[str, object], shown: str, said: str) -> None:
    assert (shown_difference(entry, 3), verdict(entry)) == (shown, said)


def test_a_line_says_who_beside_what() -> None:
    line = benefit_line("mda", "Dice", 3, {**KNOWN, "setting": "ct+pet", "against": "ct-network"})
    assert (line.center, line.setting, line.against, line.cases) == ("mda", "CT+PET", "the CT network alone", 5)


def test_the_fullest_input_comes_first() -> None:
    found = in_order_of_inputs({"setting": name} for name in ("ct", "ct+pet", "pet"))
    assert [entry["setting"] for entry in found] == ["ct+pet", "ct", "pet"]
