"""What the coordinator does with a round's mean change, tensor by tensor: take it, or treat it as a gradient.

Notation of Reddi et al. 2021 (Adaptive Federated Optimization, arXiv 2003.00295, Algorithm 2), x the shared tensor:

    Delta = mean - x                                the mean change of the centers
    mean       x + Delta                            the mean itself, to the bit; rate is not used
    fedavgm    m <- b1 m + Delta                    x + rate m                     (Hsu et al. 2019, arXiv 1909.06335)
    fedadam    m <- b1 m + (1 - b1) Delta           x + rate m / (sqrt(v) + tau)
               v <- b2 v + (1 - b2) Delta^2
    fedyogi    m as fedadam                         x + rate m / (sqrt(v) + tau)
               v <- v - (1 - b2) Delta^2 sign(v - Delta^2)

m and v begin at 0 and are kept between rounds in float32 as `key@momentum` and `key@variance`; a round computes in
float64. As in Algorithm 2 there is no bias correction. Flower's FedAvgM and FedYogi agree with these lines; its FedAdam
multiplies the rate by sqrt(1 - b2^(t+1)) / (1 - b1^(t+1)), t the round counted from 1, which a tensor that some rounds
leave out has no single t for. Algorithm 2 begins v at tau^2 or more; here as in Flower it begins at 0, so that a first
step is as long as tau alone allows.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from protocol.errors import PayloadError, StudyError
from protocol.messages.settings import ServerOptimiser
from protocol.messages.tensors import Tensors

Array = NDArray[np.float64]


Recall = Callable[[str], Array]
Remembered = dict[str, Array]
Rule = Callable[[Array, Array, Recall, ServerOptimiser], tuple[Array, Remembered]]


def _mean(_start: Array, mean: Array, _recall: Recall, _settings: ServerOptimiser) -> tuple[Array, Remembered]:
    return mean, {}


def _fedavgm(start: Array, mean: Array, recall: Recall, settings: ServerOptimiser) -> tuple[Array, Remembered]:
    momentum = settings.beta1 * recall("momentum") + (mean - start)
    return start + settings.rate * momentum, {"momentum": momentum}


def _fedadam(start: Array, mean: Array, recall: Recall, settings: ServerOptimiser) -> tuple[Array, Remembered]:
    squared = (mean - start) ** 2
    variance = settings.beta2 * recall("variance") + (1 - settings.beta2) * squared
    return _adaptive(start, mean, recall("momentum"), variance, settings)


def _fedyogi(start: Array, mean: Array, recall: Recall, settings: ServerOptimiser) -> tuple[Array, Remembered]:
    squared, past = (mean - start) ** 2, recall("variance")
    variance = past - (1 - settings.beta2) * squared * np.sign(past - squared)
    return _adaptive(start, mean, recall("momentum"), variance, settings)


OPTIMISERS: dict[str, Rule] = {"mean": _mean, "fedavgm": _fedavgm, "fedadam": _fedadam, "fedyogi": _fedyogi}


def optimiser(name: str) -> Rule:
    """The row of `OPTIMISERS` called `name`.

    Raises:
        StudyError: there is none; names the known ones.
    """
    if name not in OPTIMISERS:
        raise StudyError(f"server_optimiser.name is '{name}', expected one of {', '.join(sorted(OPTIMISERS))}")
    return OPTIMISERS[name]


def step(
    start: Mapping[str, Array], mean: Mapping[str, Array], moments: Tensors, settings: ServerOptimiser
) -> tuple[dict[str, Array], dict[str, NDArray[np.float32]]]:
    """One step of the server optimiser from `start`, given the round's `mean`.

    A tensor only in `start` had no center behind it: it and its moments stay as they are, to the bit. A tensor only in
    `mean` has no value to start from: it takes the mean.

    Args:
        start: the shared tensors of the round, in the coordinates that are averaged.
        mean: the weighted mean of what the centers sent, in the same coordinates.
        moments: what the last step returned; empty before the first.
        settings: name, rate and betas of the optimiser.

    Returns:
        The next tensors and the next moments, both in key order. A tensor that the optimiser did not move is the array
        that was given; moments are arrays of their own.

    Raises:
        StudyError: the optimiser is unknown.
        PayloadError: a mean or a moment has another shape than its tensor.
    """
    rule = optimiser(settings.name)
    following, memory = {**mean, **start}, dict[str, NDArray[np.float32]]()
    for key in start.keys() & mean.keys():
        _same_shape(key, mean[key], start[key].shape)
        recall = partial(_recall, key, moments, start[key].shape)
        following[key], remembered = rule(start[key], mean[key], recall, settings)
        memory |= {f"{key}@{name}": np.asarray(array, dtype=np.float32) for name, array in remembered.items()}
    memory |= {key: np.array(moments[key], dtype=np.float32) for key in moments.keys() - memory.keys()}
    return dict(sorted(following.items())), dict(sorted(memory.items()))


def _adaptive(
    start: Array, mean: Array, past: Array, variance: Array, settings: ServerOptimiser
) -> tuple[Array, Remembered]:
    """x + rate m / (sqrt(v) + tau) with m <- b1 m + (1 - b1) Delta; `past` is the m before."""
    momentum = settings.beta1 * past + (1 - settings.beta1) * (mean - start)
    following = start + settings.rate * momentum / (np.sqrt(variance) + settings.tau)
    return following, {"momentum": momentum, "variance": variance}


def _recall(key: str, moments: Tensors, shape: tuple[int, ...], name: str) -> Array:
    """The kept moment `name` of a tensor in float64; 0 before the first step."""
    if (kept := moments.get(f"{key}@{name}")) is None:
        return np.zeros(shape)
    _same_shape(f"{key}@{name}", kept, shape)
    return kept.astype(np.float64)


def _same_shape(key: str, array: NDArray[np.floating], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise PayloadError(
            f"tensor '{key}' has shape {array.shape}, the shared tensor {shape}; "
            "after a change of rank begin with fresh moments and tensors of the new rank"
        )
