"""Which tensor groups too few cases reach, and what becomes of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from client.data.manifest import Case
from client.learning.thin_groups import Parted, cases_able, moments_without, part_groups, require_enough, take_back
from client.optimisation.moments import Moment
from protocol.errors import TooFewError
from tests.support.small_training import TASK, stage

GROUPS = ("pet", "fusion", "peft")


def names(*found: str) -> frozenset[str]:
    return frozenset(found)


def test_support_counts_pet_cases_for_the_pet_pathway_and_leaves_out_zero() -> None:
    """a ran with CT, b with both, c with PET: three cases behind the adapter, two the pathway, one the fusion."""
    used = {"ct": names("a", "b"), "pet": names("c"), "ct+pet": names("b")}
    assert part_groups(GROUPS, used, 1).support == {"pet": 2, "fusion": 1, "peft": 3}
    assert part_groups(GROUPS, {"ct": names("a")}, 1).support == {"peft": 1}


def test_support_of_ehr_counts_the_cases_that_ran_with_it() -> None:
    used = {"ct": names("a", "b"), "ehr": names("c"), "ct+ehr": names("b")}
    assert part_groups(["ehr", "head"], used, 1).support == {"ehr": 2, "head": 3}
    assert part_groups(["ehr", "head"], {"ct": names("a")}, 1).support == {"head": 1}


def test_a_bank_counts_the_cases_of_its_modalities() -> None:
    """a ran with CT, b with both, c with PET: CT's bank has two cases, PET's two, that of both one."""
    used = {"ct": names("a", "b"), "pet": names("c"), "ct+pet": names("b")}
    found = part_groups(["peft.ct", "peft.pet", "peft.fusion"], used, 2)
    assert found.behind == {"peft.ct": 2, "peft.pet": 2, "peft.fusion": 1}
    assert (found.kept, found.withheld) == (("peft.ct", "peft.pet"), ("peft.fusion",))


def test_a_group_below_the_minimum_stays_and_the_others_go_on() -> None:
    """Two of five; none of the fusion's, of whom nothing is held back."""
    found = Parted({"peft": 5, "pet": 2, "fusion": 0}, 5)
    assert (found.kept, found.withheld, found.support) == (("peft",), ("pet",), {"peft": 5})


def test_where_no_group_has_enough_all_go_on_to_what_refuses_them() -> None:
    found = Parted({"peft": 4, "pet": 2, "fusion": 0}, 5)
    assert (found.kept, found.withheld, found.support) == (("peft", "pet", "fusion"), (), {"peft": 4, "pet": 2})
    with pytest.raises(TooFewError, match=r"center 'x': \{'peft': 4, 'pet': 2, 'fusion': 0\} .* sends from 5 on"):
        require_enough(found, "x")
    require_enough(Parted({"peft": 5, "pet": 0}, 5), "x")


def test_a_group_without_a_case_does_not_go_on_though_a_minimum_of_none_is_asked() -> None:
    assert Parted({"peft": 1, "pet": 0}, 0).kept == ("peft",)


def test_able_are_cases_with_the_target_and_the_images_of_a_setting_that_trains() -> None:
    """The model does not run PET alone, the round gives CT no share, and c has no contour."""
    files = {"a": ("ct", "pet", "gtv"), "b": ("ct", "gtv"), "c": ("ct", "pet")}
    paths = {name: {file: Path(file) for file in found} for name, found in files.items()}
    cases = [Case(name, name, "x", found, {}, {}) for name, found in paths.items()]  # type: ignore[arg-type]
    training = stage(modality_shares={"ct": 0.0, "pet": 0.5, "ct+pet": 0.5})
    assert cases_able(cases, TASK, training, ("ct", "ct+pet")) == {"ct+pet": names("a")}
    assert cases_able(cases, TASK, stage(), ("ct", "ct+pet")) == {"ct": names("a", "b"), "ct+pet": names("a")}


def test_what_is_taken_back_has_the_bits_it_came_with_and_the_rest_stays() -> None:
    parameters = {key: nn.Parameter(torch.full((2,), 3.0)) for key in ("thin", "fresh", "other")}
    take_back(parameters, {key: np.ones(2, np.float32) for key in ("thin", "other")}, {"thin", "fresh"})
    assert {key: float(value.detach()[0]) for key, value in parameters.items()} == {"thin": 1, "fresh": 3, "other": 3}


def test_moments_of_what_was_taken_back_are_those_that_the_round_began_with() -> None:
    def moment(steps: int) -> Moment:
        return Moment(steps, np.zeros(1, np.float32), np.zeros(1, np.float32))

    ended, begun = {"a": moment(8), "b": moment(8), "c": moment(8)}, {"a": moment(4), "b": moment(4)}
    found = moments_without(ended, begun, {"b", "c"})
    assert {key: kept.steps for key, kept in found.items()} == {"a": 8, "b": 4}
