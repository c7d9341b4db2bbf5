"""What a center asks of the plan of a sum before it shares secrets or masks anything: state, weights, and k."""

from protocol.errors import SecureSumError
from protocol.messages.instruction import Instruction
from protocol.messages.secure_sum import SumPlan, state_digest

MAXIMUM_SHARE = 0.5
LEAST_OF_MEAN = 0.05
ROUNDING = 1e-9


def fewest_of(instruction: Instruction) -> int:
    """k of the study; where it has none nothing can be summed.

    Raises:
        SecureSumError: the study has no sums of this kind.
    """
    if instruction.settings.secure_aggregation is None:
        raise SecureSumError(f"study '{instruction.settings.study}' has no [secure_aggregation]")
    return instruction.settings.secure_aggregation.fewest


def check_state(instruction: Instruction, plan: SumPlan, center: str) -> None:
    """Refuse to mask what stands on another state than that of the others.

    Raises:
        SecureSumError: the instruction's state is not the plan's.
    """
    found = state_digest(instruction.tensors, instruction.reference, instruction.backbone_hash)
    if found != plan.state:
        began = "trained from" if instruction.kind == "train" else "asked about"
        raise SecureSumError(
            f"center '{center}': the round was {began} state {found[:12]}, the plan that all centers of the sum "
            f"agreed to has {plan.state[:12]}: who is sent another state than the others stands alone in their sum. "
            "Nothing is masked; telephone the coordinator"
        )


def check_weights(plan: SumPlan, center: str, fewest: int) -> None:
    """A sum in which one center outweighs all others together would be that center's; next to none hides none.

    Raises:
        SecureSumError: the plan has such weights, or weighs who takes no part.
    """
    for group, weights in plan.weights.items():
        if strangers := weights.keys() - plan.keys.keys():
            raise SecureSumError(f"center '{center}': the plan weighs {sorted(strangers)}, who take no part")
        if len(weights) < fewest:
            continue
        total = sum(weights.values())
        share = max(weights.values()) / total
        if share > MAXIMUM_SHARE + ROUNDING:
            raise SecureSumError(
                f"center '{center}': one center has {share:.3f} of the weight of group '{group}', expected at most "
                f"{MAXIMUM_SHARE}: the sum would be its own"
            )
        light = sorted(name for name, weight in weights.items() if weight * len(weights) < LEAST_OF_MEAN * total)
        if light:
            raise SecureSumError(
                f"center '{center}': {light} have less than {LEAST_OF_MEAN} of the mean weight of group '{group}': the "
                "sum would be of the others alone. A smaller weight_exponent brings weights nearer"
            )
