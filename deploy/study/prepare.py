"""A study directory from a study file: the one place where a coordinator needs torch, once, before the first round."""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import nn

from client.learning.assembly import arrays_of, build, inject_adapter, row_of, tensor_specs
from deploy.study.defaults import keep_recipe, refuse_other_defaults
from deploy.study.stage_findings import idle_pathways, idle_stages, unheard_pathways
from fusion_models.adapters.injection import adapter_layers
from fusion_models.adapters.keys import is_inside, parameters_by_key
from protocol.errors import ModelError, StudyError
from protocol.messages.tensors import (
    BACKBONE,
    NORM,
    PEFT,
    ROLE_GROUPS,
    Tensors,
    TensorSpec,
    content_hash,
    kind_of,
    role_of,
)
from protocol.storage.atomic_files import make_private_folder, write_text
from protocol.storage.regular_files import open_regular
from server.study.directory import StudyDirectory, write_prepared
from server.study.file import Study, read_study
from strategies.bank.peft_format import adapter_config

logger = logging.getLogger(__name__)

Arrays = dict[str, NDArray[np.float32]]

BACKBONE_FILE = "backbone.json"
LISTS = (nn.ModuleList, nn.ModuleDict)


def prepare(study_file: Path, root: Path, backbone: Path | None = None) -> Study:
    """Make the directory of a study: specs, initial state and adapter configuration, all from the study's seed.

    A directory that holds the same study already is left as it is.

    Args:
        study_file: the study file.
        root: the directory.
        backbone: safetensors file with the backbone to start from in place of one drawn from the seed; its content
            hash is kept in `backbone.json`.

    Raises:
        StudyError: the study file cannot be run, a stage trains no tensor that the model has or leaves PET unheard,
            `root` holds another study or was prepared with another backbone or under other defaults, or the backbone
            does not fit the model.
    """
    study, text = read_study(study_file), study_file.read_text()
    existing = StudyDirectory(root).study_file
    if existing.exists():
        if existing.read_text() != text:
            raise StudyError(f"{root} holds another study than {study_file}; give another directory with --out")
        _refuse_another_backbone(root, backbone)
        refuse_other_defaults(root, study)
        return study
    try:
        specs, initial, config = initial_state(study)
    except (ValueError, ModelError) as error:
        raise StudyError(f"study file {study_file}: {error}") from error
    groups = frozenset(kind_of(spec.group) for spec in specs)
    if findings := [*idle_stages(study, groups), *unheard_pathways(study, initial)]:
        raise StudyError(f"study file {study_file}: {'; '.join(findings)}")
    if backbone is not None:
        given = read_backbone(backbone, specs)
        initial |= given
        make_private_folder(root)
        write_text(root / BACKBONE_FILE, json.dumps({"content_sha256": content_hash(given)}))
    keep_recipe(root, study)
    write_prepared(root, text, specs, initial, config)
    return study


def initial_state(study: Study) -> tuple[tuple[TensorSpec, ...], Arrays, dict[str, Any]]:
    """Specs, initial tensors and peft configuration; without adapters where no stage trains any, or the model has none.

    DoRA's magnitudes and local normalisations are not among the initial tensors: they are the row norms and the affine
    parameters of a backbone that may still train.
    """
    settings = study.settings
    row = row_of(settings)
    model = build(settings, row)
    config: dict[str, Any] = {}
    if any(PEFT in stage.trained for stage in study.stages):
        inject_adapter(model, settings, row)
        if adapted := adapter_layers(model):
            whole = whole_modules(model, row.pathway_modules)
            config = adapter_config(study.adapter, targets=adapted, modules_to_save=whole)
    tensors, specs = arrays_of(parameters_by_key(model)), tensor_specs(model, row.pathways)
    for group, inputs in idle_pathways(study, {spec.group for spec in specs}).items():
        logger.warning(
            "no stage trains the '%s' tensors of model '%s': %s input runs through them as they were drawn; name '%s' "
            "among the groups of a stage",
            *(group, study.model.name, " and ".join(inputs), group),
        )
    initial = {key: array for key, array in tensors.items() if not _follows_the_backbone(key)}
    return specs, initial, config


def whole_modules(model: nn.Module, pathway_modules: Sequence[str]) -> list[str]:
    """The modules of the pathways, none within another, each with a forward pass of its own.

    peft cannot save a list as a whole, nor a module of one that it saves already.
    """
    found = dict(model.named_modules())
    outermost = [prefix for prefix in pathway_modules if not is_inside(prefix.rpartition(".")[0], pathway_modules)]
    whole = {prefix: found[prefix] for prefix in outermost if prefix in found}
    while lists := {prefix: module for prefix, module in whole.items() if isinstance(module, LISTS)}:
        parts = {f"{prefix}.{name}": part for prefix, each in lists.items() for name, part in each.named_children()}
        whole = {prefix: module for prefix, module in whole.items() if prefix not in lists} | parts
    return sorted(whole)


def read_backbone(path: Path, specs: Sequence[TensorSpec]) -> Arrays:
    """The backbone of a safetensors file, whole and in the shapes of the specs.

    Raises:
        StudyError: the file cannot be read, or a tensor is missing, unknown, of another shape or type, or not finite;
            the message lists every finding.
    """
    found = _read(path)
    findings = list(_backbone_findings(found, specs))
    if findings:
        lines = "\n".join(f"  {finding}" for finding in findings)
        raise StudyError(f"backbone file {path} does not fit the study's model, {len(findings)} finding(s):\n{lines}")
    return dict(sorted(found.items()))


def _backbone_findings(found: Tensors, specs: Sequence[TensorSpec]) -> Iterator[str]:
    expected = {spec.key: spec.shape for spec in specs if spec.group == BACKBONE}
    for key in sorted(expected.keys() - found.keys()):
        yield f"tensor '{key}' is missing, expected shape {expected[key]}"
    for key in sorted(found.keys() - expected.keys()):
        yield f"tensor '{key}' is unknown, expected only the model's {len(expected)} backbone tensors"
    for key in sorted(found.keys() & expected.keys()):
        if found[key].shape != expected[key]:
            yield (
                f"tensor '{key}' has shape {found[key].shape}, expected {expected[key]} (position embeddings and "
                "global tokens belong to the preprocessing.crop_zyx that they were trained with)"
            )
        if found[key].dtype != np.float32:
            yield f"tensor '{key}' is {found[key].dtype}, expected float32"
        elif not np.isfinite(found[key]).all():
            yield f"tensor '{key}' holds a value that is not finite"


def _refuse_another_backbone(root: Path, backbone: Path | None) -> None:
    if backbone is None:
        return
    kept = root / BACKBONE_FILE
    before = json.loads(kept.read_text())["content_sha256"] if kept.exists() else "one drawn from the seed"
    found = content_hash(_read(backbone))
    if found != before:
        raise StudyError(
            f"{root} was prepared with another backbone than {backbone}: content hash {before}, found {found}; give "
            "the backbone it was prepared with, or another directory"
        )


def _follows_the_backbone(key: str) -> bool:
    role = role_of(key)
    return role == "magnitude" or ROLE_GROUPS.get(role) == NORM


def _read(path: Path) -> Arrays:
    try:
        open_regular(path).close()
        return load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise StudyError(f"backbone file {path} cannot be read ({error}); give a safetensors file") from error
