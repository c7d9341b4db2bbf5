"""RoLoRA: B and A train in turns, and the live factor is averaged; DoRA's magnitude trains and is averaged always.

    round 0, 2, ..    B <- mean_c B_c,  m <- mean_c m_c            round 1, 3, ..    A <- mean_c A_c,  m <- mean_c m_c

Exact for LoRA, because the other factor is common. For DoRA the mean of magnitudes is not; `alt_exact` is.

Chen et al. 2025, Robust Federated Finetuning of LLMs via Alternating Optimization of LoRA (arXiv 2502.01755),
algorithm 1.
"""

from collections.abc import Iterable

from protocol.messages.payload import Payload
from protocol.messages.settings import Aggregation, Role
from protocol.messages.tensors import Tensors
from strategies.aggregation.contract import Aggregated, Base
from strategies.aggregation.linear import aggregate_linear


def live(completed: int, _settings: Aggregation) -> tuple[Role, ...]:
    """B first, because a fresh B is zero and gives A no gradient; then A, then B again."""
    return ("lora_a" if completed % 2 else "lora_b", "magnitude")


def aggregate(shared: Tensors, payloads: Iterable[Payload], base: Base, moments: Tensors) -> Aggregated:
    """The mean of every live tensor.

    Raises:
        PayloadError: a center moved the factor that was not live, or as `aggregate_linear` says.
    """
    return aggregate_linear(shared, payloads, base, moments)
