"""FFA-LoRA: A stays at its random start for ever, only B (and DoRA's magnitude) is trained and averaged.

    B <- mean_c B_c,    m <- mean_c m_c                  A common, so mean_c B_c A = (mean_c B_c) A: exact for LoRA

For DoRA the mean of magnitudes is not exact; `alt_exact` with phases ("b",) is. The row space of the update never
leaves that of the first A.

Sun et al. 2024, Improving LoRA in Privacy-Preserving Federated Learning (arXiv 2403.12313), section 4.
"""

from collections.abc import Iterable

from protocol.messages.payload import Payload
from protocol.messages.settings import Aggregation, Role
from protocol.messages.tensors import Tensors
from strategies.aggregation.contract import Aggregated, Base
from strategies.aggregation.linear import aggregate_linear


def live(_completed: int, _settings: Aggregation) -> tuple[Role, ...]:
    """All but A, in every round."""
    return ("lora_b", "magnitude")


def aggregate(shared: Tensors, payloads: Iterable[Payload], base: Base, moments: Tensors) -> Aggregated:
    """The mean of every live tensor.

    Raises:
        PayloadError: a center moved A, or as `aggregate_linear` says.
    """
    return aggregate_linear(shared, payloads, base, moments)
