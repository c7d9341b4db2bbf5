"""What a study file may not ask of a robust rule."""

from typing import Any

import pytest

from protocol.messages.settings import Adapter, Aggregation, Robust
from protocol.modalities import Modality
from server.study.robust_findings import robust_findings, robust_of, senders_of
from server.study.stage import Center, Stage

SEVEN = "abcdefg"


def stage(centers: str = SEVEN, **fields: object) -> Stage:
    given = {"name": "adapt", "kind": "adapt", "rounds": 2, "local_steps": 1, "learning_rate": 1e-3}
    return Stage.model_validate({**given, "centers": list(centers), **fields})


def centers(**modalities: tuple[Modality, ...]) -> dict[str, Center]:
    return {name: Center(modalities=modalities.get(name, ("ct", "pet"))) for name in SEVEN}


def findings(
    rule: str,
    *,
    scheme: str = "alt-exact",
    of: Stage | None = None,
    known: dict[str, Center] | None = None,
    **own: object,
) -> list[str]:
    settings = Aggregation(scheme=scheme, robust=Robust.model_validate({"rule": rule, **own}))
    return list(robust_findings(of or stage(), scheme, known or centers(), settings, Adapter()))


@pytest.mark.parametrize("rule", ["geometric-median", "multi-krum", "trimmed-mean"])
def test_seven_centers_hold_off_two(rule: str) -> None:
    assert findings(rule, liars=2) == []


@pytest.mark.parametrize(
    ("rule", "liars", "few", "needed"),
    [("geometric-median", 1, "abcdef", 7), ("multi-krum", 2, "abcdef", 7), ("trimmed-mean", 3, "abcdef", 7)],
)
def test_too_few_centers_are_refused_group_by_group(rule: str, liars: int, few: str, needed: int) -> None:
    found = findings(rule, liars=liars, of=stage(few))
    assert len(found) == 3
    assert all(
        f"with {liars} liar(s) needs {needed} centers for each tensor group, and 6 can train" in f for f in found
    )
    assert "'peft'" in found[1]


def test_a_group_counts_the_centers_that_have_its_modality() -> None:
    """Of seven, four have PET: `multi-krum` needs five for the pathway of PET, and has seven for the adapter."""
    known = centers(**dict.fromkeys("efg", ("ct",)))
    found = findings("multi-krum", known=known)
    assert ["'pet'" in finding or "'fusion'" in finding for finding in found] == [True, True]
    assert "4 can train 'pet': ['a', 'b', 'c', 'd']" in found[1]


def test_banks_are_counted_where_adapters_have_them() -> None:
    known = centers(g=("ct",))
    found = senders_of(stage(kind="arrive"), known, Adapter(routing="modality"))
    assert {group: len(names) for group, names in found.items()} == {
        "peft": 7,
        "peft.ct": 7,
        "peft.pet": 6,
        "peft.fusion": 6,
    }


def test_an_unknown_rule_is_named_with_those_there_are() -> None:
    (found,) = findings("median")
    assert found.startswith("stage 'adapt' asks for robust rule 'median'; known: ['fltrust', 'geometric-median', ")


@pytest.mark.parametrize("scheme", ["ties", "lorm", "fedsa-lora", "local-only"])
def test_a_scheme_that_does_not_go_by_weights_is_refused(scheme: str) -> None:
    (found,) = findings("geometric-median", scheme=scheme)
    assert f"a robust rule says what centers weigh, and '{scheme}' does not go by that" in found


@pytest.mark.parametrize("rule", ["trimmed-mean", "fltrust"])
def test_a_rule_on_one_factor_needs_a_scheme_that_trains_one(rule: str) -> None:
    own: Any = {"reference": "a"} if rule == "fltrust" else {}
    (found,) = findings(rule, scheme="product-exact", **own)
    assert "use one of ['alt-exact', 'ffa-lora', 'rolora'], or another rule" in found
    assert findings(rule, scheme="alt-exact", **own) == []
    assert findings(rule, scheme="fedit", of=stage(kind="pretrain"), **own) == []


def test_a_weighing_rule_goes_with_products_too() -> None:
    assert findings("geometric-median", scheme="product-exact") == []


@pytest.mark.parametrize(
    ("rule", "reference", "message"),
    [
        ("fltrust", "", "needs a reference among the stage's centers"),
        ("fltrust", "nobody", "found 'nobody'"),
        ("multi-krum", "a", "holds updates against no reference"),
        ("fltrust", "g", "reference 'g' cannot train tensor group(s) ['fusion', 'pet']"),
    ],
)
def test_a_reference_that_does_not_fit_is_refused(rule: str, reference: str, message: str) -> None:
    (found,) = findings(rule, reference=reference, known=centers(g=("ct",)))
    assert message in found


def test_ranks_of_single_centers_are_refused() -> None:
    (found,) = findings("multi-krum", known={**centers(), "b": Center(rank=4)})
    assert "center(s) ['b'] have ranks of their own" in found


def test_a_stage_has_its_own_rule_or_none() -> None:
    settings = Aggregation(robust=Robust(rule="multi-krum"))
    assert robust_of(stage(), settings) == Robust(rule="multi-krum")
    assert robust_of(stage(robust=False), settings) is None
    assert robust_of(stage(robust={"rule": "fltrust"}), settings) == Robust(rule="fltrust")
    assert robust_of(stage(), Aggregation()) is None
