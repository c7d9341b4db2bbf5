"""FedSA-LoRA: A is averaged, B and DoRA's magnitude stay each center's own.

    A <- mean_c A_c,    B_c, m_c kept by center c

A carries what centers have in common, B what is theirs: every center has a model of its own, and there is no shared
product B A. The shared B stays as it began, so a center that never trained starts from the frozen network.

Guo et al. 2025, Selective Aggregation for Low-Rank Adaptation in Federated Learning (arXiv 2410.01463), section 3.
"""

from collections.abc import Iterable

from protocol.messages.payload import Payload
from protocol.messages.tensors import Tensors, role_of
from strategies.aggregation.contract import Aggregated, Base
from strategies.aggregation.linear import Sent, aggregate_linear
from strategies.aggregation.linear_form import Named


def keeps(key: str) -> bool:
    """B and the magnitude are the center's own."""
    return role_of(key) in {"lora_b", "magnitude"}


def aggregate(shared: Tensors, payloads: Iterable[Payload], base: Base, moments: Tensors) -> Aggregated:
    """The mean of every tensor that centers do not keep."""
    return aggregate_linear(shared, payloads, base, moments, encode=part_to_average)


def part_to_average(sent: Sent) -> Named:
    """What is averaged of one payload."""
    return {key: array for key, array in sent.live.items() if not keeps(key)}
