"""Which parameters of a network a round may move, by the groups and roles that it names."""

from collections.abc import Mapping, Sequence

from torch import nn

from fusion_models.adapters.keys import parameters_by_key
from protocol.errors import ModelError
from protocol.messages.instruction import Instruction
from protocol.messages.settings import ROLES
from protocol.messages.tensors import PEFT, group_of, kind_of, role_of


def train_only(
    model: nn.Module,
    groups: Sequence[str],
    pathways: Mapping[str, Sequence[str]],
    roles: Sequence[str] = ROLES,
) -> dict[str, nn.Parameter]:
    """Freeze all but the named groups, and of the shared adapter all but `roles`; returns what trains, by key."""
    parameters = parameters_by_key(model)
    for key, parameter in parameters.items():
        group = group_of(key, pathways)
        parameter.requires_grad_(group in groups and (kind_of(group) != PEFT or role_of(key) in roles))
    return {key: parameter for key, parameter in parameters.items() if parameter.requires_grad}


def require_live(parameters: Mapping[str, nn.Parameter], instruction: Instruction, center: str) -> None:
    """Refuse a round in which nothing trains here.

    Raises:
        ModelError: there is no parameter.
    """
    if not parameters:
        groups = [] if instruction.training is None else list(instruction.training.groups)
        raise ModelError(
            f"center '{center}' has nothing to train in stage '{instruction.stage}': it owns none of the groups "
            f"{groups} of model '{instruction.settings.model.name}'"
        )
