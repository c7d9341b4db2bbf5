"""What each tensor of a center's update began from, also where the center was not sent it.

A fresh DoRA magnitude begins as the row norms of W0 + s B A, a center's own normalisation as the backbone's, Ditto's
own copy as what the center returned last, else as the shared tensor.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from protocol.messages.tensors import Tensors, TensorSpec, is_statistic, module_of, role_of
from strategies.aggregation.contract import Base
from strategies.aggregation.linear_form import linear_form, wire_magnitude
from strategies.continual.terms import SERVED

Starts = dict[str, NDArray[np.floating]]
OF_THE_BACKBONE = {"norm_weight": "weight", "norm_bias": "bias"}


def starts_of(specs: Iterable[TensorSpec], sent: Tensors, own: Tensors, base: Base) -> Starts:
    """The values that the tensors of `specs` had before the first step.

    Args:
        specs: what the center may send.
        sent: what it was sent to load.
        own: what is known of it, statistics included.
        base: what stands fixed in the round; its frozen weights say what was not sent.

    Returns:
        By key; without statistics that are no weights, which a step does not move.
    """
    specs = tuple(specs)
    base = replace(base, frozen={**base.frozen, **sent})
    plain = {spec.key.partition("@")[0] for spec in specs}
    begun = {key: sent[key] if key in sent else _unsent(key, sent, base) for key in sorted(plain)}
    found = {key: start for key, start in begun.items() if start is not None}
    copies = [spec.key for spec in specs if is_statistic(spec.key) and spec.key.endswith(SERVED)]
    served = {key: own.get(key, found.get(key.partition("@")[0])) for key in copies}
    return {**found, **{key: start for key, start in served.items() if start is not None}}


def _unsent(key: str, sent: Tensors, base: Base) -> NDArray[np.floating] | None:
    """The start of a tensor that a center makes itself; None where there is none to tell."""
    module, role = module_of(key), role_of(key)
    if role in OF_THE_BACKBONE:
        return base.frozen.get(f"{module}.{OF_THE_BACKBONE[role]}")
    factors = {f"{module}#lora_a", f"{module}#lora_b"}
    if role != "magnitude" or not factors <= sent.keys() or f"{module}.weight" not in base.frozen:
        return None
    return wire_magnitude(module, linear_form(module, sent, base), base)[key]
