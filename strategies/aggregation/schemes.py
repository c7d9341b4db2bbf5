"""The table of aggregation schemes: which adapter tensors train when, what a center keeps, how payloads are combined.

A new scheme is one file in this folder and one row of `SCHEMES`; the contract tests run over every row.
"""

from collections.abc import Callable
from dataclasses import dataclass

from protocol.messages.settings import ROLES, Aggregation, Role, Statistic
from protocol.messages.tensors import Tensors
from strategies.aggregation import (
    alt_exact,
    fedex_lora,
    fedit,
    fedsa_lora,
    ffa_lora,
    flexlora,
    flora,
    local_only,
    lora_fair,
    lorm,
    product_exact,
    rolora,
    ties,
)
from strategies.aggregation.contract import Aggregate, Base
from strategies.aggregation.linear import Coordinates, wire_coordinates


@dataclass(frozen=True)
class Scheme:
    """One way to federate adapters.

    aggregate: (shared, payloads, base, moments) -> what comes next; changes none of its arguments. `payloads` is read
        once, in the order of center names.
    live: (rounds completed in the stage, settings) -> the adapter roles that train in the next one.
    keeps: whether a tensor stays each center's own instead of being shared.
    optimised: whether a server optimiser may act on the mean change; factors then keep their gauge from round to round.
    mixed_ranks: whether centers may have adapters of other ranks than the shared one.
    exchanges: whether centers see anything of each other.
    observes: statistics of each center's training cases that a payload must carry beside what trained.
    weighs: whether what comes next is a mean of what centers did, by the weights of `Base`: then a robust rule can say
        what they weigh.
    summed: the coordinates in which the centers' sum is all that the scheme needs; None where it looks at each payload.
    """

    aggregate: Aggregate
    live: Callable[[int, Aggregation], tuple[Role, ...]]
    keeps: Callable[[str], bool]
    optimised: bool = False
    mixed_ranks: bool = False
    exchanges: bool = True
    observes: tuple[Statistic, ...] = ()
    weighs: bool = True
    summed: Callable[[Tensors, Base], Coordinates] | None = None

    def trains_one_factor(self, settings: Aggregation) -> bool:
        """Whether A and B of an adapter never train in the same round."""
        rounds = [self.live(completed, settings) for completed in range(len(settings.phases))]
        return not any({"lora_a", "lora_b"} <= set(roles) for roles in rounds)


def all_roles(_completed: int, _settings: Aggregation) -> tuple[Role, ...]:
    """Everything trains in every round."""
    return ROLES


def keeps_nothing(_key: str) -> bool:
    """Every tensor is shared."""
    return False


SCHEMES: dict[str, Scheme] = {
    "alt-exact": Scheme(
        alt_exact.aggregate, alt_exact.live, keeps_nothing, optimised=True, summed=alt_exact.phase_of_round
    ),
    "lorm": Scheme(lorm.aggregate, alt_exact.live, keeps_nothing, optimised=True, observes=("gram",), weighs=False),
    "fedit": Scheme(fedit.aggregate, all_roles, keeps_nothing, optimised=True, summed=wire_coordinates),
    "ffa-lora": Scheme(ffa_lora.aggregate, ffa_lora.live, keeps_nothing, optimised=True, summed=wire_coordinates),
    "rolora": Scheme(rolora.aggregate, rolora.live, keeps_nothing, optimised=True, summed=wire_coordinates),
    "fedsa-lora": Scheme(fedsa_lora.aggregate, all_roles, fedsa_lora.keeps, optimised=True, weighs=False),
    "product-exact": Scheme(product_exact.aggregate, all_roles, keeps_nothing, mixed_ranks=True),
    "fedex-lora": Scheme(fedex_lora.aggregate, all_roles, keeps_nothing),
    "flora": Scheme(flora.aggregate, all_roles, keeps_nothing, mixed_ranks=True),
    "flexlora": Scheme(flexlora.aggregate, all_roles, keeps_nothing, mixed_ranks=True),
    "lora-fair": Scheme(lora_fair.aggregate, all_roles, keeps_nothing),
    "ties": Scheme(ties.aggregate, all_roles, keeps_nothing, mixed_ranks=True, weighs=False),
    "local-only": Scheme(local_only.aggregate, all_roles, local_only.keeps, exchanges=False, weighs=False),
}
# A backbone has no factors: what a scheme says of them has nothing to act on, and plain averaging is left.
BACKBONE_SCHEME = "fedit"
