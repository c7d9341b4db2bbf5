"""The mean of tensors one by one: masks, weights, and what is refused."""

import weakref
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from protocol.errors import PayloadError
from protocol.messages.payload import Payload
from protocol.messages.settings import Aggregation, ServerOptimiser
from strategies.aggregation import fedit, ffa_lora, rolora
from strategies.aggregation.contract import Aggregate
from strategies.aggregation.linear import aggregate_linear
from strategies.aggregation.linear_form import flat
from strategies.aggregation.schemes import SCHEMES
from tests.support.drawn_adapters import MODULE, A, B, Drawn, adapters, bits, sent_by
from tests.support.linear_round import GRAM, HEAD, STEM, base, lists, tensor

NUMBERS = st.floats(-1e6, 1e6, width=32)


def test_weights_are_a_power_of_the_case_counts() -> None:
    """1 and 9 cases: exponent 1 gives 0.1 and 0.9, exponent 1/2 gives 0.25 and 0.75, exponent 0 gives halves."""
    payloads = [sent_by("a", {HEAD: tensor(0)}, backbone=1), sent_by("b", {HEAD: tensor(8)}, backbone=9)]
    found = [fedit.aggregate({HEAD: tensor(1)}, payloads, base(exponent=a), {}).shared[HEAD] for a in (1, 0.5, 0)]
    assert np.concatenate(found).tolist() == pytest.approx([7.2, 6.0, 4.0])


def test_pet_tensors_average_over_the_centers_with_pet_only() -> None:
    """CT-only center `c` has most cases: it moves the head and not the PET stem."""
    payloads = [
        sent_by("a", {HEAD: tensor(1), STEM: tensor(1)}, backbone=10, pet=10),
        sent_by("b", {HEAD: tensor(2), STEM: tensor(4)}, backbone=20, pet=5),
        sent_by("c", {HEAD: tensor(3), STEM: tensor(np.nan)}, backbone=70),
    ]
    result = fedit.aggregate({HEAD: tensor(0), STEM: tensor(0)}, payloads, base(), {}).shared
    assert result[STEM].tolist() == [2.0]
    assert result[HEAD] == pytest.approx([2.6], abs=1e-7)


def test_a_tensor_nobody_supports_keeps_its_bits_and_its_moments() -> None:
    shared = {HEAD: tensor(1), STEM: tensor(-0.0, 1e-45, 0.1)}
    moments = {f"{STEM}@momentum": tensor(0.1, 0.2, 0.3), f"{HEAD}@momentum": tensor(1)}
    optimiser = ServerOptimiser(name="fedavgm", beta1=0.5)
    payloads = [sent_by("a", {HEAD: tensor(2), STEM: tensor(7, 7, 7)}, backbone=1)]
    result = fedit.aggregate(shared, payloads, base(server_optimiser=optimiser), moments)
    assert result.shared[STEM].tobytes() == shared[STEM].tobytes()
    assert result.moments[f"{STEM}@momentum"].tobytes() == moments[f"{STEM}@momentum"].tobytes()
    assert result.moments[f"{HEAD}@momentum"].tolist() == [1.5]
    assert result.shared[HEAD].tolist() == [2.5]


def test_an_unsupported_adapter_stays_whatever_garbage_came() -> None:
    """No PEFT case at center `b`: a NaN factor, and a frozen one that moved, do not matter."""
    shared = {A: tensor([1]), B: tensor([0])}
    garbage = sent_by("b", {A: tensor([np.nan]), B: tensor([np.nan])}, peft=0)
    result = ffa_lora.aggregate(shared, [sent_by("a", {B: tensor([3])}, peft=2), garbage], base("lora_b"), {})
    assert lists(result.shared) == {A: [[1.0]], B: [[3.0]]}


def test_statistics_and_personal_tensors_are_never_averaged() -> None:
    extra = {f"{A}@fisher": tensor([2]), GRAM: tensor([2]), f"{MODULE}#center_a": tensor([2]), "n#norm_bias": tensor(2)}
    payload = replace(sent_by("a", {B: tensor([3]), **extra}), support={"peft": 2, "center": 2, "norm": 2})
    result = ffa_lora.aggregate({A: tensor([1]), B: tensor([0])}, [payload], base("lora_b"), {})
    assert sorted(result.shared) == [A, B]


def test_a_scalar_tensor_keeps_its_shape() -> None:
    payload = sent_by("a", {HEAD: np.asarray(2, np.float32)}, backbone=1)
    assert fedit.aggregate({}, [payload], base(), {}).shared[HEAD].shape == ()


@pytest.mark.parametrize(
    "payloads",
    [
        [],
        [sent_by("hgj", {HEAD: tensor(1)}, backbone=0)],
        [sent_by("hgj", {}, backbone=3)],
        [sent_by("hgj", {HEAD: tensor(1)})],
    ],
)
def test_a_round_without_any_support_is_refused(payloads: list[Payload]) -> None:
    with pytest.raises(PayloadError, match=r"no center supports any tensor: supports by center are \{.*\}"):
        fedit.aggregate({HEAD: tensor(1)}, payloads, base(), {})


def test_two_payloads_of_one_center_are_refused() -> None:
    payload = sent_by("hgj", {HEAD: tensor(1)}, backbone=1)
    with pytest.raises(PayloadError, match="center 'hgj' sent more than one payload"):
        fedit.aggregate({}, [payload, payload], base(), {})


def test_payloads_out_of_order_are_refused() -> None:
    payloads = [sent_by(center, {HEAD: tensor(1)}, backbone=1) for center in ("b", "a")]
    with pytest.raises(PayloadError, match="center 'a' came after 'b'"):
        fedit.aggregate({}, payloads, base(), {})


def test_a_key_without_group_is_refused_by_name() -> None:
    with pytest.raises(PayloadError, match=r"'head\.bias' sent by center 'hgj' belongs to no group"):
        fedit.aggregate({}, [sent_by("hgj", {"head.bias": tensor(1)}, peft=1)], base(), {})


@pytest.mark.parametrize("known", [True, False])
def test_shapes_never_broadcast(known: bool) -> None:
    whole, part = np.ones((4, 3), np.float32), np.ones((1, 3), np.float32)
    payloads = [sent_by("a", {HEAD: whole}, backbone=1), sent_by("b", {HEAD: part}, backbone=1)]
    with pytest.raises(
        PayloadError, match=r"center 'b': tensor 'encoder.weight' has shape \(1, 3\), expected \(4, 3\)"
    ):
        fedit.aggregate({HEAD: whole} if known else {}, payloads, base(), {})


PAYLOADS = st.lists(
    st.tuples(arrays(np.float32, (2, 3), elements=NUMBERS), st.integers(1, 2000)), min_size=1, max_size=6
).map(lambda rows: [sent_by(f"center-{i}", {HEAD: array}, backbone=n) for i, (array, n) in enumerate(rows)])
START = {HEAD: np.zeros((2, 3), np.float32)}


def test_sums_run_in_the_order_of_center_names() -> None:
    """(1e30 - 1e30) + 3 is 3, while (1e30 + 3) - 1e30 is 0 in float64."""
    values = {"a": 1e30, "b": -1e30, "c": 3.0}
    payloads = [sent_by(center, {HEAD: tensor(value)}, backbone=1) for center, value in values.items()]
    assert fedit.aggregate({}, payloads, base(), {}).shared[HEAD].tolist() == [1.0]


@given(PAYLOADS, st.randoms(use_true_random=False))
def test_order_of_arrival_changes_no_bit(payloads: list[Payload], shuffle) -> None:
    arrived = sorted(shuffle.sample(payloads, len(payloads)), key=lambda payload: payload.center)
    first, second = (fedit.aggregate(START, sent, base(exponent=0.5), {}).shared for sent in (arrived, payloads))
    assert bits(first) == bits(second)


@given(arrays(np.float32, (2, 3), elements=NUMBERS), st.lists(st.integers(1, 2000), min_size=1, max_size=6))
def test_equal_centers_average_to_themselves_at_any_weight(array: np.ndarray, cases: list[int]) -> None:
    payloads = [sent_by(f"center-{i}", {HEAD: array}, backbone=n) for i, n in enumerate(cases)]
    for exponent in (0, 0.5, 1):
        assert (fedit.aggregate(START, payloads, base(exponent=exponent), {}).shared[HEAD] == array).all()


@given(PAYLOADS)
def test_the_mean_lies_between_the_centers(payloads: list[Payload]) -> None:
    sent = np.stack([payload.tensors[HEAD] for payload in payloads])
    mean = fedit.aggregate(START, payloads, base(), {}).shared[HEAD]
    assert (mean >= sent.min(axis=0)).all()
    assert (mean <= sent.max(axis=0)).all()


@given(PAYLOADS)
def test_a_center_with_zero_support_equals_an_absent_one(payloads: list[Payload]) -> None:
    silent = sent_by("zzz", {HEAD: np.full((2, 3), np.nan, np.float32)}, backbone=0)
    with_silent = fedit.aggregate(START, [*payloads, silent], base(), {}).shared
    assert bits(with_silent) == bits(fedit.aggregate(START, payloads, base(), {}).shared)


@given(adapters(dora=st.just(False), centers=2), st.sampled_from([ffa_lora.aggregate, rolora.aggregate]))
def test_one_live_factor_is_exact_for_plain_lora(adapter: Drawn, aggregate: Aggregate) -> None:
    payloads = adapter.payloads("lora_b")
    result = aggregate(adapter.shared, payloads, adapter.base("lora_b", "magnitude"), {}).shared
    expected = adapter.mean_weight(payloads)
    assert np.linalg.norm(adapter.weight_of(result) - expected) < 1e-5 * (1 + np.linalg.norm(expected))


ROWS = ["alt-exact", "fedit", "fedsa-lora", "ffa-lora", "lorm", "rolora"]


@pytest.mark.parametrize("name", ROWS)
@given(adapters(), st.integers(0, 1))
def test_equal_centers_give_what_each_of_them_sent(name: str, adapter: Drawn, completed: int) -> None:
    """Any number of centers, one included, at any weights: what is live and shared comes back, in float32."""
    roles = SCHEMES[name].live(completed, Aggregation())
    sent = adapter.payloads(*roles)[0].tensors
    gram = np.random.default_rng(0).normal(size=(4, flat(adapter.shared[A]).shape[1]))
    payloads = [sent_by(f"center-{n}", {**sent, GRAM: gram}, peft=cases) for n, cases in enumerate(adapter.cases)]
    result = SCHEMES[name].aggregate(adapter.shared, payloads, adapter.base(*roles), {}).shared
    for key in sent:
        expected = adapter.shared[key] if SCHEMES[name].keeps(key) else sent[key]
        assert np.linalg.norm(result[key] - expected) < 1e-5 * np.linalg.norm(expected)


def test_payloads_are_read_once_and_let_go() -> None:
    """While one payload is made, of the 50 before it at most the one just read is still in memory."""
    sent: list[weakref.ref[np.ndarray]] = []

    def arriving() -> Iterator[Payload]:
        for number in range(50):
            assert sum(array() is not None for array in sent) <= 1
            array = tensor(number)
            sent.append(weakref.ref(array))
            yield sent_by(f"center-{number:02}", {HEAD: array}, backbone=1)
            del array

    assert aggregate_linear({HEAD: tensor(0)}, arriving(), base(), {}).shared[HEAD].tolist() == [24.5]


def test_ehr_tensors_average_over_the_centers_with_ehr_only_and_the_head_over_all() -> None:
    """Center `b` has no EHR: 30 cases of the head, none of the records' embedding."""
    groups = {"embedding.weight": "ehr", "head.weight": "head"}
    payloads = [
        sent_by("a", {"embedding.weight": tensor(4), "head.weight": tensor(4)}, ehr=10, head=10),
        sent_by("b", {"embedding.weight": tensor(np.nan), "head.weight": tensor(8)}, head=30),
    ]
    shared = {key: tensor(0) for key in groups}
    result = fedit.aggregate(shared, payloads, replace(base(), groups=groups), {}).shared
    assert lists(result) == {"embedding.weight": [4.0], "head.weight": [7.0]}
