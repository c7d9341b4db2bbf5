from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAdam, FedAvgM, FedYogi
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import PayloadError, StudyError
from protocol.messages.settings import ServerOptimiser
from strategies.aggregation.server_optimisers import OPTIMISERS, step

# Betas of one half and tau = 1 keep every number of a step readable.
HALF = {"beta1": 0.5, "beta2": 0.5, "tau": 1.0}


def moved(name, *means, **options):
    """The tensor after a step to each of `means` from 0, and the moments after the last."""
    settings, start, moments = ServerOptimiser(name=name, **options), {"t": np.zeros(1)}, {}
    places = []
    for mean in means:
        start, moments = step(start, {"t": np.array([mean])}, moments, settings)
        places.append(float(start["t"][0]))
    return places, {key: float(array[0]) for key, array in moments.items()}


def test_mean_takes_the_mean_whatever_the_rate():
    assert moved("mean", 4.0, 3.0, rate=0.5) == ([4.0, 3.0], {})


def test_fedavgm_goes_on_with_half_of_the_last_change():
    # m = 4, x = 0 + 4; then Delta = 5 - 4 = 1, m = 0.5*4 + 1 = 3, x = 4 + 3.
    assert moved("fedavgm", 4.0, 5.0, **HALF) == ([4.0, 7.0], {"t@momentum": 3.0})


def test_fedavgm_multiplies_the_momentum_by_the_rate():
    # m = 4, x = 0.25*4 = 1; then Delta = 5 - 1 = 4, m = 0.5*4 + 4 = 6, x = 1 + 0.25*6.
    assert moved("fedavgm", 4.0, 5.0, rate=0.25, **HALF) == ([1.0, 2.5], {"t@momentum": 6.0})


def test_fedadam_divides_the_momentum_by_the_root_of_the_variance():
    # Delta = sqrt(8): m = sqrt(2), v = 4, x = 3 sqrt(2)/(2 + 1) = sqrt(2).
    # Delta = 2: m = sqrt(2)/2 + 1, v = 2 + 2 = 4, x = sqrt(2) + 3 (sqrt(2)/2 + 1)/(2 + 1).
    root = 2**0.5
    places, moments = moved("fedadam", 2 * root, root + 2, rate=3.0, **HALF)
    assert places == pytest.approx([root, 1.5 * root + 1], rel=1e-7)
    assert moments == pytest.approx({"t@momentum": 0.5 * root + 1, "t@variance": 4.0}, rel=1e-7)


def test_fedyogi_moves_the_variance_by_half_of_the_square_towards_it():
    # Delta = 4: m = 2, v = 0 + 16/2 = 8, x = 2/(sqrt(8) + 1); then Delta = 2: m = 2, v = 8 - 4/2 = 6 (FedAdam: 6).
    # Delta = 1 after that: m = 1.5, v = 6 - 1/2 = 5.5 (FedAdam: 3.5).
    first = 2 / (8**0.5 + 1)
    second = first + 2 / (6**0.5 + 1)
    places, moments = moved("fedyogi", 4.0, first + 2, second + 1, **HALF)
    assert places == pytest.approx([first, second, second + 1.5 / (5.5**0.5 + 1)], rel=1e-7)
    assert moments == pytest.approx({"t@momentum": 1.5, "t@variance": 5.5})


@pytest.mark.parametrize("name", ["fedadam", "fedyogi"])
def test_there_is_no_bias_correction(name):
    # m = 0.1 * 1, v = 0.01 * 1, x = 0.1/(0.1 + 0.001).
    assert moved(name, 1.0)[0] == pytest.approx([0.1 / 0.101])


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_a_tensor_without_a_center_stays_with_its_moments_to_the_bit(name):
    start = {"ct": np.zeros(2), "pet": np.array([1 / 3, -0.0])}
    moments = {"pet@momentum": np.float32([0.1, 7]), "pet@variance": np.float32([0.2, 5])}
    following, memory = step(start, {"ct": np.ones(2)}, moments, ServerOptimiser(name=name))
    assert following["pet"].tobytes() == start["pet"].tobytes()
    assert {key: memory[key].tobytes() for key in moments} == {key: moments[key].tobytes() for key in moments}


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_a_tensor_without_a_start_takes_the_mean_and_no_moments(name):
    following, memory = step({}, {"t": np.array([1 / 3])}, {}, ServerOptimiser(name=name))
    assert following["t"].tolist() == [1 / 3]
    assert memory == {}


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_centers_that_agree_with_the_shared_tensors_leave_them(name):
    # Idempotence: Delta = 0 and no momentum yet.
    values = np.array([1 / 3, 2.0, 0.0])
    following, memory = step({"t": values}, {"t": values.copy()}, {}, ServerOptimiser(name=name))
    assert following["t"].tobytes() == values.tobytes()
    assert not any(array.any() for array in memory.values())


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_nothing_given_is_changed_and_moments_are_arrays_of_their_own(name):
    start, mean = {"a": np.zeros(2), "b": np.ones(2)}, {"a": np.ones(2), "c": np.ones(2)}
    moments = {"a@momentum": np.zeros(2, np.float32), "b@momentum": np.zeros(2, np.float32)}
    _, memory = step(start, mean, moments, ServerOptimiser(name=name))
    for array in memory.values():
        array[:] = 9
    assert all((array == 1).all() for array in (start["b"], mean["a"], mean["c"]))
    assert not any(array.any() for array in (start["a"], *moments.values()))


def test_tensors_and_moments_come_in_key_order_and_moments_in_float32():
    tensors = {"b": np.zeros(1), "a": np.zeros(1)}
    following, memory = step(tensors, tensors, {}, ServerOptimiser(name="fedadam"))
    assert list(following) == ["a", "b"]
    assert list(memory) == ["a@momentum", "a@variance", "b@momentum", "b@variance"]
    assert {array.dtype for array in memory.values()} == {np.dtype(np.float32)}


def test_an_unknown_optimiser_is_refused_with_the_known_ones():
    with pytest.raises(StudyError, match="'fedadamw', expected one of fedadam, fedavgm, fedyogi, mean"):
        step({}, {}, {}, ServerOptimiser(name="fedadamw"))


def test_a_mean_of_another_shape_is_refused_instead_of_broadcast():
    with pytest.raises(PayloadError, match=r"tensor 'x#lora_a' has shape \(1, 3\), the shared tensor \(2, 3\)"):
        step({"x#lora_a": np.zeros((2, 3))}, {"x#lora_a": np.zeros((1, 3))}, {}, ServerOptimiser())


@pytest.mark.parametrize("moment", ["momentum", "variance"])
def test_moments_of_another_rank_are_refused(moment):
    moments = {f"x@{moment}": np.zeros((1, 3), np.float32)}
    with pytest.raises(PayloadError, match=rf"tensor 'x@{moment}' has shape \(1, 3\), the shared tensor \(2, 3\)"):
        step({"x": np.zeros((2, 3))}, {"x": np.ones((2, 3))}, moments, ServerOptimiser(name="fedadam"))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=20), st.floats(0, 1))
def test_the_variance_of_fedyogi_is_never_negative(means, beta2):
    _, moments = moved("fedyogi", *means, beta2=beta2)
    assert moments["t@variance"] >= 0


def flower_rounds(strategy, means, monkeypatch):
    """What Flower's strategy makes of one client that sends `means`, round by round, in float64 from 0."""
    monkeypatch.setattr("flwr.serverapp.strategy.fedavg.FedAvg.configure_train", lambda *_: [])
    monkeypatch.setattr(
        "flwr.serverapp.strategy.fedavg.FedAvg._check_and_log_replies", lambda _, replies, **__: (replies, [])
    )
    arrays = ArrayRecord({"t": Array(np.zeros(2))})
    places = []
    for number, mean in enumerate(means, start=1):
        content = {"arrays": ArrayRecord({"t": Array(mean)}), "metrics": MetricRecord({"num-examples": 1})}
        reply = SimpleNamespace(content=RecordDict(content))
        strategy.configure_train(number, arrays, ConfigRecord(), None)
        arrays, _ = strategy.aggregate_train(number, [reply])
        places.append(arrays["t"].numpy())
    return places


def our_rounds(settings, means):
    start, moments, places = {"t": np.zeros(2)}, {}, []
    for mean in means:
        start, moments = step(start, {"t": mean}, moments, settings)
        places.append(start["t"])
    return places


MEANS = [np.array([1.0, -0.3]), np.array([1.2, 0.4]), np.array([0.9, 0.5])]


def test_fedavgm_agrees_with_flower(monkeypatch):
    theirs = flower_rounds(FedAvgM(server_learning_rate=0.7, server_momentum=0.9), MEANS, monkeypatch)
    ours = our_rounds(ServerOptimiser(name="fedavgm", rate=0.7, beta1=0.9), MEANS)
    # Moments are kept in float32 between rounds.
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_fedyogi_agrees_with_flower(monkeypatch):
    theirs = flower_rounds(FedYogi(eta=0.1, beta_1=0.9, beta_2=0.99, tau=1e-3), MEANS, monkeypatch)
    ours = our_rounds(ServerOptimiser(name="fedyogi", rate=0.1), MEANS)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_fedadam_is_flowers_without_its_bias_correction(monkeypatch):
    # One round: Flower's rate is 0.1 sqrt(1 - 0.99^2)/(1 - 0.9^2), ours 0.1.
    [theirs] = flower_rounds(FedAdam(eta=0.1, beta_1=0.9, beta_2=0.99, tau=1e-3), MEANS[:1], monkeypatch)
    [ours] = our_rounds(ServerOptimiser(name="fedadam", rate=0.1), MEANS[:1])
    np.testing.assert_allclose(theirs / ours, (1 - 0.99**2) ** 0.5 / (1 - 0.9**2), rtol=1e-6)
