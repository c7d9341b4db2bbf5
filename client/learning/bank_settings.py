"""The settings of an adapter in a bank, where its study left them to defaults, which may have been others then.

A bank keeps a study's settings as its file gave them. What was left out shows in what the study made:

    rank      the rows of a factor A: a center's may differ from the study's
    targets   the modules that have factors
    pathway   an identity has gates and gains, which train whole beside PET's modules (`modules_to_save` of peft's
              configuration, and the tensors themselves); without any the pathway is the published one, which was what
              every model had by default before some became identities
"""

from collections.abc import Mapping
from typing import Any

from fusion_models.adapters.keys import is_inside
from fusion_models.model_row import ModelRow
from protocol.messages.settings import StudySettings
from protocol.messages.tensors import FUSION, PET, Tensors, module_of, role_of, weight_of

OPENINGS = ("gate", "gain")


def settings_behind(
    settings: StudySettings, row: ModelRow, adapter_config: Mapping[str, Any], tensors: Tensors
) -> StudySettings:
    """The settings with rank, targets and start of the PET pathway that an adapter of a bank has.

    Args:
        settings: of the bank.
        row: of its model.
        adapter_config: peft's configuration, of the bank; empty where the study trains no adapter.
        tensors: of the adapter.
    """
    model = settings.model
    if _was_published(model.options, row, [*adapter_config.get("modules_to_save", ()), *tensors]):
        model = model.model_copy(update={"options": {**model.options, "pathway": "published"}})
    adapter, factors = settings.adapter, {key: each for key, each in tensors.items() if role_of(key) == "lora_a"}
    if factors:
        adapted = tuple(sorted({weight_of(module_of(key)).removesuffix(".weight") for key in factors}))
        rank = max(array.shape[0] for array in factors.values())
        adapter = adapter.model_copy(update={"rank": rank, "targets": adapter.targets or adapted})
    return settings.model_copy(update={"model": model, "adapter": adapter})


def _was_published(options: Mapping[str, object], row: ModelRow, names: list[str]) -> bool:
    """Whether options leave the start open that is an identity today, and PET's modules are named without gates."""
    left_open = "pathway" not in options and not any(options.get(opening) for opening in OPENINGS)
    there = {group for group in (PET, FUSION) if any(is_inside(name, row.pathways.get(group, ())) for name in names)}
    return left_open and row.options.get("pathway") == "identity" and there == {PET}
