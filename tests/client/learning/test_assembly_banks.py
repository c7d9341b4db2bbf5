"""Adapter banks by modality: which models take them, and how many parameters they have."""

import math

import pytest

from client.learning.assembly import row_of, study_specs
from fusion_models.registry import MODELS
from protocol.errors import ModelError
from protocol.messages.settings import StudySettings
from tests.support.row_settings import settings_for
from tests.support.smallest_models import SMALLEST


def routed_settings(model: str) -> StudySettings:
    found = settings_for(model, "lora")
    return found.model_copy(update={"adapter": found.adapter.model_copy(update={"routing": "modality"})})


@pytest.mark.parametrize("name", [name for name in SMALLEST if MODELS[name].adapter_targets])
def test_banks_by_modality_are_for_models_that_route_their_rows(name: str) -> None:
    settings = routed_settings(name)
    if not MODELS[name].routed:
        with pytest.raises(ModelError, match=f"model '{name}' cannot route its adapters"):
            row_of(settings)
    else:
        groups = {spec.group for spec in study_specs(settings.model_dump_json())}
        assert {"peft.ct", "peft.pet", "peft.fusion"} <= groups
        assert "peft" not in groups


def test_banks_have_three_times_the_parameters_of_one_adapter() -> None:
    """At rank 2 projections have 1152 a bank and convolutions 1992.

    4 of 24 -> 72 and 4 of 24 -> 24, 2 (96 + 48) 4; of 16, 8, 8 and 4 channels to 8, 8, 4 and 4, 2 (27 x 36 + 24).
    """
    sizes = [
        sum(math.prod(spec.shape) for spec in study_specs(found.model_dump_json()) if spec.group.startswith("peft"))
        for found in (settings_for("pemma-unetr-tiny", "lora"), routed_settings("pemma-unetr-tiny"))
    ]
    assert sizes == [1152 + 1992, 3 * (1152 + 1992)]
