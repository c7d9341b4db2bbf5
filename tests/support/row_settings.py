"""The settings of a small study on a row of the model table."""

from fusion_models.registry import MODELS, model_row
from protocol.messages.settings import Model, Personal, Preprocessing, StudySettings
from tests.support.clinical_table import SCHEMA


def settings_for(
    model: str = "pemma-unetr-tiny", method: str = "dora", personal: tuple[Personal, ...] = (), seed: int = 5
) -> StudySettings:
    tasks = MODELS[model].tasks
    return StudySettings.model_validate(
        {
            "study": "small",
            "seed": seed,
            "model": Model(name=model),
            "tasks": tuple(dict.fromkeys((tasks[0], tasks[-1]))),
            "labels": SCHEMA,
            "adapter": {"method": method, "rank": 2, "alpha": 4},
            "preprocessing": Preprocessing(crop_zyx=model_row(model).crop_zyx),
            "personal": personal,
            "center_rank": 3,
        }
    )
