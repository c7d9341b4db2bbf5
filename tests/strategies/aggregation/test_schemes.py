"""What every row of the scheme table promises, whatever its arithmetic."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.errors import PayloadError
from protocol.messages.payload import Payload
from protocol.messages.settings import ROLES, Aggregation
from protocol.messages.tensors import BACKBONE, PEFT, PET, Tensors, role_of
from strategies.aggregation import schemes
from strategies.aggregation.contract import Base
from strategies.aggregation.schemes import BACKBONE_SCHEME, SCHEMES, Scheme
from tests.support.drawn_tensors import bits, drawn

Array = NDArray[np.float32]

STEM = "pet_embedding.weight"
SHAPES = {
    "conv#lora_a": (2, 3, 3, 3, 3),
    "conv#lora_b": (4, 2, 1, 1, 1),
    "conv#magnitude": (1, 4, 1, 1, 1),
    "qkv#lora_a": (2, 6),
    "qkv#lora_b": (5, 2),
    "qkv#magnitude": (5,),
    STEM: (4, 1, 2, 2, 2),
}
FROZEN = {"conv.weight": (4, 3, 3, 3, 3), "qkv.weight": (5, 6)}
GRAMS = {"conv@gram": (7, 81), "qkv@gram": (7, 6)}
RESIDUAL_ROLES = {"residual_a", "residual_b"}


class Round:
    """One round of a scheme on a Linear and a Conv3d, with DoRA unless told: two centers with PET and one without."""

    def __init__(self, name: str, shapes: dict[str, tuple[int, ...]] = SHAPES) -> None:
        self.scheme: Scheme = SCHEMES[name]
        self.shapes = shapes
        self.settings = Aggregation(scheme=name)
        self.roles = self.scheme.live(0, self.settings)
        self.base = Base({STEM: PET}, drawn(9, FROZEN), 4.0, 2, self.settings, self.roles)
        self.shared = drawn(0, shapes)
        supports = [{PEFT: 30, PET: 20}, {PEFT: 11, PET: 7}, {PEFT: 5}]
        self.payloads = [self.sent(center, n, supports[n]) for n, center in enumerate("abc")]

    def sent(self, center: str, seed: int, support: dict[str, int]) -> Payload:
        live = {key for key in self.shapes if role_of(key) in self.roles} | ({STEM} if PET in support else set())
        moved = drawn(seed + 1, {**self.shapes, **GRAMS})
        tensors = {key: moved[key] for key in moved if key in live or key in GRAMS}
        return Payload(center, "hash", "adapt", 1, tensors, support)

    def aggregate(self, payloads: list[Payload], moments: Tensors | None = None):
        return self.scheme.aggregate(self.shared, iter(payloads), self.base, moments or {})

    def given(self) -> list[Array]:
        sets = [self.shared, self.base.frozen, *(payload.tensors for payload in self.payloads)]
        return [array for tensors in sets for array in tensors.values()]


@pytest.fixture(params=sorted(SCHEMES))
def one_round(request: pytest.FixtureRequest) -> Round:
    return Round(request.param)


def test_result_has_the_shared_keys_and_shapes_in_float32(one_round: Round) -> None:
    """A scheme may add a residual, and nothing else."""
    result = one_round.aggregate(one_round.payloads).shared
    found = {key: (array.shape, array.dtype) for key, array in result.items() if role_of(key) not in RESIDUAL_ROLES}
    assert found == {key: (shape, np.dtype(np.float32)) for key, shape in SHAPES.items()}
    assert {array.dtype for array in result.values()} == {np.dtype(np.float32)}


def test_the_result_is_finite(one_round: Round) -> None:
    assert all(np.isfinite(array).all() for array in one_round.aggregate(one_round.payloads).shared.values())


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_lora_gets_no_magnitude_and_stays_finite(name: str) -> None:
    lora = {key: shape for key, shape in SHAPES.items() if not key.endswith("#magnitude")}
    one_round = Round(name, lora)
    result = one_round.aggregate(one_round.payloads).shared
    assert {key for key in result if role_of(key) not in RESIDUAL_ROLES} == lora.keys()
    assert all(np.isfinite(array).all() for array in result.values())


def test_keys_come_sorted(one_round: Round) -> None:
    keys = list(one_round.aggregate(one_round.payloads).shared)
    assert keys == sorted(keys)


def test_nothing_handed_in_is_changed(one_round: Round) -> None:
    """The frozen backbone among it."""
    before = [array.tobytes() for array in one_round.given()]
    one_round.aggregate(one_round.payloads)
    assert [array.tobytes() for array in one_round.given()] == before


@pytest.mark.parametrize("centers", [slice(None), slice(1), slice(2, None)], ids=["all", "one", "no-pet"])
def test_the_result_shares_no_memory_with_what_was_handed_in(one_round: Round, centers: slice) -> None:
    result = one_round.aggregate(one_round.payloads[centers]).shared
    assert not any(np.shares_memory(new, old) for new in result.values() for old in one_round.given())


def test_the_same_round_gives_the_same_bits(one_round: Round) -> None:
    assert bits(one_round.aggregate(one_round.payloads).shared) == bits(one_round.aggregate(one_round.payloads).shared)


def test_a_center_without_support_equals_an_absent_one(one_round: Round) -> None:
    """Even when all it sends is NaN."""
    silent = replace(one_round.payloads[2], center="zzz", support={})
    garbage = {key: np.full_like(array, np.nan) for key, array in silent.tensors.items()}
    with_silent = one_round.aggregate([*one_round.payloads, replace(silent, tensors=garbage)])
    assert bits(with_silent.shared) == bits(one_round.aggregate(one_round.payloads).shared)


def test_pet_does_not_depend_on_a_center_without_pet(one_round: Round) -> None:
    """Center `c` sends garbage for the PET stem, without a case behind it."""
    c = one_round.payloads[2]
    garbage = replace(c, tensors={**c.tensors, STEM: np.full(SHAPES[STEM], np.nan, np.float32)})
    found = [one_round.aggregate([*one_round.payloads[:2], last]).shared for last in (c, garbage)]
    assert bits(found[0]) == bits(found[1])


def test_what_no_center_supports_keeps_its_bits(one_round: Round) -> None:
    result = one_round.aggregate(one_round.payloads[2:]).shared
    assert result[STEM].tobytes() == one_round.shared[STEM].tobytes()


@pytest.mark.parametrize("doubling", [1, 3])
def test_only_the_ratio_of_weights_counts(one_round: Round, doubling: int) -> None:
    """n -> 4^doubling n scales every n^(1/2) by a power of two."""
    more = [replace(p, support={g: n * 4**doubling for g, n in p.support.items()}) for p in one_round.payloads]
    first, second = one_round.aggregate(one_round.payloads).shared, one_round.aggregate(more).shared
    assert all(np.allclose(first[key], second[key], rtol=1e-5, atol=1e-6) for key in first)


def test_payloads_out_of_order_or_two_of_one_center_are_refused(one_round: Round) -> None:
    if not one_round.scheme.exchanges:
        pytest.skip("reads nothing of a payload")
    a, b, _ = one_round.payloads
    for wrong in ([b, a], [a, a]):
        with pytest.raises(PayloadError, match="center 'a'"):
            one_round.aggregate(wrong)


def test_a_round_without_support_is_refused_by_name(one_round: Round) -> None:
    if not one_round.scheme.exchanges:
        pytest.skip("needs no support")
    for nobody in ([], [replace(one_round.payloads[0], support={PEFT: 0, PET: 0})]):
        with pytest.raises(PayloadError, match="no center supports any tensor"):
            one_round.aggregate(nobody)


def test_every_role_has_its_turn_unless_the_scheme_freezes_it(one_round: Round) -> None:
    """FFA-LoRA alone never trains A."""
    trained = {role for done in range(2) for role in one_round.scheme.live(done, one_round.settings)}
    assert trained == set(ROLES) - ({"lora_a"} if one_round.scheme is SCHEMES["ffa-lora"] else set())


def test_what_keeps_everything_exchanges_nothing(one_round: Round) -> None:
    assert all(one_round.scheme.keeps(key) for key in SHAPES) == (not one_round.scheme.exchanges)


@pytest.mark.parametrize("name", [name for name, scheme in SCHEMES.items() if scheme.mixed_ranks])
def test_centers_of_other_ranks_are_combined_where_the_row_says_so(name: str) -> None:
    """Center `b` has rank 1, the shared adapter 2."""
    one_round = Round(name)
    one_round.base = replace(one_round.base, ranks={"b": 1})
    a, b, c = one_round.payloads
    narrow = dict(b.tensors)
    narrow |= {key: array[:1] for key, array in narrow.items() if role_of(key) == "lora_a"}
    narrow |= {key: array[:, :1] for key, array in narrow.items() if role_of(key) == "lora_b"}
    result = one_round.aggregate([a, replace(b, tensors=narrow), c]).shared
    assert {key: result[key].shape for key in SHAPES} == SHAPES
    assert all(np.isfinite(array).all() for array in result.values())


def test_what_a_center_keeps_is_not_averaged(one_round: Round) -> None:
    result = one_round.aggregate(one_round.payloads).shared
    kept = [key for key in SHAPES if one_round.scheme.keeps(key)]
    assert all(result[key].tobytes() == one_round.shared[key].tobytes() for key in kept)


def test_the_shared_state_moves_unless_centers_keep_it_all(one_round: Round) -> None:
    result = one_round.aggregate(one_round.payloads).shared
    live = [key for key in SHAPES if role_of(key) in (*one_round.roles, "") and not one_round.scheme.keeps(key)]
    assert all(result[key].tobytes() != one_round.shared[key].tobytes() for key in live)


def test_a_server_optimiser_acts_where_the_row_says_so(one_round: Round) -> None:
    """FedAvgM remembers the mean change of the PET stem, where it is allowed to."""
    optimiser = one_round.settings.server_optimiser.model_copy(update={"name": "fedavgm"})
    settings = one_round.settings.model_copy(update={"server_optimiser": optimiser})
    one_round.base = replace(one_round.base, settings=settings)
    moments = one_round.aggregate(one_round.payloads).moments
    assert (f"{STEM}@momentum" in moments) == one_round.scheme.optimised


def test_every_file_that_aggregates_is_the_row_of_its_name() -> None:
    folder = Path(schemes.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if "\ndef aggregate(" in path.read_text()}
    assert {name.replace("-", "_") for name in SCHEMES} == files
    modules = {name.replace("-", "_"): scheme.aggregate.__module__ for name, scheme in SCHEMES.items()}
    assert all(module == f"strategies.aggregation.{name}" for name, module in modules.items())


def test_a_backbone_is_averaged_and_shared_whole() -> None:
    """The root of nine cases weighs 3 and has 1, that of one case weighs 1 and has 5: (3 + 5) / 4 = 2."""
    row, settings = SCHEMES[BACKBONE_SCHEME], Aggregation(scheme=BACKBONE_SCHEME)
    shared = {"qkv.weight": np.zeros((1, 1), np.float32)}
    payloads = [
        Payload(center, "", "adapt", 1, {"qkv.weight": np.full((1, 1), value, np.float32)}, support={BACKBONE: cases})
        for center, value, cases in (("a", 1, 9), ("b", 5, 1))
    ]
    base = Base({"qkv.weight": BACKBONE}, {}, 1.0, 2, settings, ROLES)
    assert row.aggregate(shared, payloads, base, {}).shared["qkv.weight"].item() == 2
    assert row.exchanges
    assert not row.keeps("qkv.weight")
