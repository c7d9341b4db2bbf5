"""A study directory from a study file: the one place where a coordinator needs torch, once, before the first round."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.assembly import arrays_of, build, inject_adapter, tensor_specs
from fusion_models.adapters.injection import parameters_by_key
from fusion_models.registry import model_row
from server.directory import StudyDirectory, write_prepared
from server.study import Study, read_study
from strategies.errors import StudyError
from strategies.peft_format import adapter_config
from strategies.tensors import PEFT, TensorSpec, role_of


def prepare(study_file: Path, root: Path) -> Study:
    """Make the directory of a study: ledger, initial state and adapter configuration, all from the study's seed.

    A directory that holds the same study already is left as it is.

    Raises:
        StudyError: the study file cannot be run, or `root` holds another study.
    """
    study, text = read_study(study_file), study_file.read_text()
    existing = StudyDirectory(root).study_file
    if existing.exists():
        if existing.read_text() != text:
            raise StudyError(f"{root} holds another study than {study_file}; give another directory with --out")
        return study
    try:
        specs, initial, config = initial_state(study)
    except ValueError as error:
        raise StudyError(f"study file {study_file}: {error}") from error
    write_prepared(root, text, specs, initial, config)
    return study


def initial_state(study: Study) -> tuple[tuple[TensorSpec, ...], dict[str, NDArray[np.float32]], dict[str, Any]]:
    """Ledger, initial tensors and peft configuration; without adapters where no stage trains any.

    DoRA's magnitudes are not among the initial tensors: they are the row norms of a backbone that may still train.
    """
    settings, row = study.settings, model_row(study.model.name)
    model = build(settings)
    config: dict[str, Any] = {}
    if any(PEFT in stage.training.groups for stage in study.stages):
        inject_adapter(model, settings)
        whole = [prefix for modules in row.pathways.values() for prefix in modules]
        targets = study.adapter.targets or row.adapter_targets
        config = adapter_config(study.adapter, targets=targets, modules_to_save=whole)
    tensors = arrays_of(parameters_by_key(model))
    initial = {key: array for key, array in tensors.items() if role_of(key) != "magnitude"}
    return tensor_specs(model, study.model.name), initial, config
