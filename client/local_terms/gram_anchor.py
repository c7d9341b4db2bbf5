"""The Gram anchor: the shared update must not change what modules answer to earlier centers' inputs.

    Omega = lambda/2 sum_M |(D_M - D*_M) R_M^T|_F^2

    M    an adapted module with frozen weight W0 (d, k); a convolution is flattened to k = in * volume
    R    (q, k)   sketch `M@gram` with R^T R ~ X X^T / n, X (k, n) the module's inputs at earlier centers
    D    (d, k)   effective update of the shared state, D* the one accepted before the stage:
                  LoRA  D = C + s B A
                  DoRA  D = C + (diag(d) - 1) W0 + s diag(d) B A,  d = m / ||W0 + s B A||_row, the norm detached
                  as peft detaches it; C = residual_b residual_a, s = alpha / rows of A

With R^T R = X X^T / n exactly, |(D - D*) R^T|^2 = |(W - W*) X|^2 / n: Omega is lambda/2 times the mean output drift,
and depends on the product B A alone, never on the gauge. It is elastic weight consolidation in function space:
X X^T / n is the input factor of K-FAC (arXiv 1503.05671, section 3) with the output factor set to the identity, and
the matrix that RegMean merges with (arXiv 2212.09849, equation 2). A center's own adapter is left out.

What others remember cannot hold a center still: R is scaled down to trace(R^T R) <= 4 m t, t the largest mean of |x|^2
over the module's inputs x in the round's first ten steps here, m = `M@gram-mass`, the stages' worth of inputs in R.
Where inputs are of one size at all centers, which a normalised layer sees to, nothing is scaled.

Cost of a step: O((d + k) r q) for the product, since W0 R^T, C R^T and D* R^T are computed once; DoRA's row norms take
O(d k r). No matrix (d, k) is formed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from client.local_terms.contract import QuietTerm, Round, like, sum_of
from client.local_terms.input_sizes import InputSizes
from client.tasks.contract import Batch
from fusion_models.adapters.injection import adapter_layers
from fusion_models.adapters.keys import parameters_by_key
from protocol.errors import ModelError
from protocol.messages.tensors import is_statistic, module_of, weight_of

GRAM, MASS = "@gram", "@gram-mass"
INPUTS_FACTOR = 4.0
ONE = np.ones(1, dtype=np.float32)


@dataclass(frozen=True)
class Anchored:
    """One module: frozen weight W0 (d, k), sketch R^T (k, q), W0 R^T (d, q), and what D R^T is compared with (d, q)."""

    weight: Tensor
    sketch_t: Tensor
    weight_sketch: Tensor
    kept: Tensor
    a: Tensor
    b: Tensor
    magnitude: Tensor | None
    alpha: float

    def moves(self) -> bool:
        """Whether the round trains any tensor of the adapter."""
        return any(tensor is not None and tensor.requires_grad for tensor in (self.a, self.b, self.magnitude))

    def drift(self) -> Tensor:
        """(D - D*) R^T at the present A, B and m: (d, q)."""
        return self.update(self.a, self.b, self.magnitude) - self.kept

    def update(self, a: Tensor, b: Tensor, magnitude: Tensor | None) -> Tensor:
        """D R^T (d, q) of an adapter, its residual aside; gradients flow into A, B and m."""
        scale = self.alpha / a.shape[0]
        a, b = a.flatten(1), b.flatten(1)
        product = scale * (b @ (a @ self.sketch_t))
        if magnitude is None:
            return product
        gain = (magnitude.flatten() / row_norms(self.weight, a.detach(), b.detach(), scale))[:, None]
        return (gain - 1) * self.weight_sketch + gain * product


class GramAnchor(QuietTerm):
    """lambda/2 sum |(D - D*) R^T|^2 over anchored modules, R no larger than what the modules are fed here allows.

    Args:
        modules: what is anchored, by name.
        weight: lambda.
        inputs: measures what the modules are fed.
        masses: m of each module.
    """

    def __init__(
        self, modules: Mapping[str, Anchored], weight: float, inputs: InputSizes, masses: Mapping[str, float]
    ) -> None:
        self._modules, self._weight, self._inputs, self._masses = dict(modules), weight, inputs, dict(masses)
        self._traces = {name: float(module.sketch_t.double().square().sum()) for name, module in modules.items()}

    def remember(self, batch: Batch) -> None:  # noqa: ARG002
        """Measure what the modules are fed in this step."""
        self._inputs.watch()

    def penalty(self, batch: Batch, answer: Tensor) -> Tensor | None:  # noqa: ARG002
        """The output drift at the present values."""
        self._inputs.rest()
        drifts = [self._scale(name) * module.drift().square().sum() for name, module in self._modules.items()]
        return self._weight / 2 * sum_of(drifts)

    def _scale(self, name: str) -> float:
        """What the squared drift is multiplied with: 1 unless R is larger than inputs here allow."""
        fed, trace = self._inputs.largest.get(name), self._traces[name]
        if fed is None:
            return 1.0
        return min(1.0, INPUTS_FACTOR * self._masses[name] * fed / trace) if trace > 0 else 1.0


def row_norms(weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """||W0 + s B A|| of each row (d,), from |w|^2 + 2 s b.(W0 A^T) + s^2 b.(A A^T) b without the sum itself."""
    cross = (b * (weight @ a.T)).sum(1)
    own = (b * (b @ (a @ a.T))).sum(1)
    return (torch.linalg.vector_norm(weight, dim=1).square() + 2 * scale * cross + scale**2 * own).clamp_min(0).sqrt()


def build(around: Round, weight: float) -> GramAnchor | None:
    """The anchor of every module with a sketch whose shared adapter trains; None where there is none.

    Raises:
        ModelError: a sketch belongs to no adapted module, has another width, or its module has no reference.
    """
    found = sorted(module_of(key) for key in around.received if key.endswith(GRAM))
    modules = {module: _anchor(module, around) for module in found}
    live = {module: anchored for module, anchored in modules.items() if anchored.moves()}
    masses = {module: float(around.received.get(module + MASS, ONE).item()) for module in live}
    layers = {name: layer for name, layer in adapter_layers(around.model).items() if name in live}
    return GramAnchor(live, weight, InputSizes(layers), masses) if live else None


def _anchor(module: str, around: Round) -> Anchored:
    parameters = parameters_by_key(around.model)
    a, b, m = (parameters.get(f"{module}#{role}") for role in ("lora_a", "lora_b", "magnitude"))
    sketch = around.received[module + GRAM]
    if a is None or b is None:
        raise ModelError(f"Gram sketch '{module}{GRAM}' belongs to no adapted module of this model")
    if sketch.ndim != 2 or sketch.shape[1] != a[0].numel():
        raise ModelError(f"Gram sketch '{module}{GRAM}' has shape {sketch.shape}, expected (q, {a[0].numel()})")
    if not {f"{module}#lora_a", f"{module}#lora_b"} <= set(around.reference):
        raise ModelError(f"module '{module}' came with a Gram sketch but without a reference adapter; send both")
    weight = parameters[weight_of(module)].detach().flatten(1)
    sketch_t = like(sketch, weight).T
    nothing = torch.zeros(len(weight), len(sketch), dtype=weight.dtype, device=weight.device)
    start = Anchored(weight, sketch_t, weight @ sketch_t, nothing, a, b, m, around.settings.adapter.alpha)
    return replace(start, kept=_target(module, start, around))


def _target(module: str, start: Anchored, around: Round) -> Tensor:
    """(D* - C) R^T: what the present adapter is compared with once the present residual is taken off."""
    old = {key: like(array, start.weight) for key, array in around.reference.items() if _of(module, key)}
    now = {key: like(array, start.weight) for key, array in around.received.items() if _of(module, key)}
    with torch.no_grad():
        update = start.update(old[f"{module}#lora_a"], old[f"{module}#lora_b"], old.get(f"{module}#magnitude"))
        return update + _residual_update(module, old, start.sketch_t) - _residual_update(module, now, start.sketch_t)


def _of(module: str, key: str) -> bool:
    return "#" in key and module_of(key) == module and not is_statistic(key)


def _residual_update(module: str, tensors: Mapping[str, Tensor], sketch_t: Tensor) -> Tensor | float:
    """C R^T (d, q); 0 without a residual."""
    residual_a, residual_b = (tensors.get(f"{module}#residual_{factor}") for factor in "ab")
    if residual_a is None or residual_b is None:
        return 0.0
    return residual_b.flatten(1) @ (residual_a.flatten(1) @ sketch_t)
