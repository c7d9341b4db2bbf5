"""A backbone with public weights: the study's model drawn from its seed, its CT network as a file has it.

Which public files fit is a property of the model's row. What the file has no weights for (tap norms, the decoder of a
VMamba file, an output layer of other classes) is what the seed draws. The result holds the CT network alone, as
`prepare` takes it; what belongs to the pathways that centers learn starts from the seed.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.numpy import save
from safetensors.torch import load_file

from client.learning.assembly import arrays_of, build, row_of
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.model_row import ModelRow
from fusion_models.public_weights import CheckpointReport, PublicWeights
from fusion_models.registry import MODELS
from protocol.errors import ModelError, StudyError
from protocol.messages.tensors import BACKBONE, group_of
from protocol.storage.atomic_files import write_bytes
from protocol.storage.regular_files import open_regular
from server.study.file import read_study

Reader = Callable[[Path], Mapping[str, Any]]


def read_pickled(path: Path) -> Mapping[str, Any]:
    """The content of a file of torch.save, read so that it cannot run code."""
    content: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content


READERS: Mapping[str, Reader] = {
    ".safetensors": load_file,
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin"), read_pickled),
}


def write_backbone(study_file: Path, weights: Path, out: Path) -> CheckpointReport:
    """Write the backbone of a study's model with public weights in its CT network.

    Args:
        study_file: the study file; its seed draws the rest of the backbone.
        weights: a file that the model's row knows to load, safetensors or of torch.save.
        out: safetensors file for `prepare`.

    Returns:
        What became of each tensor of `weights`.

    Raises:
        StudyError: the study file cannot be run, or `weights` cannot be read.
        ModelError: no public weights fit the model, it cannot do what the study asks of it, or `weights` are those of
            another variant.
    """
    settings = read_study(study_file).settings
    name = settings.model.name
    row = row_of(settings)
    try:
        model = build(settings, row)
    except ValueError as error:
        raise StudyError(f"study file {study_file}: {error}") from error
    load, content = _loader(name, row), read_weights(weights)
    try:
        report = load(model, content, row.pathway_modules)
    except ValueError as error:
        raise ModelError(f"weights {weights} do not fit model '{name}': {error}") from error
    parameters = parameters_by_key(model).items()
    backbone = {key: each for key, each in parameters if group_of(key, row.pathways) == BACKBONE}
    write_bytes(out, save(arrays_of(backbone)))
    return report


def read_weights(path: Path) -> Mapping[str, Any]:
    """The content of a file of weights, by the reader of its ending.

    Raises:
        StudyError: it cannot be read, or would run code when read.
    """
    reader = READERS.get(path.suffix)
    if reader is None:
        raise StudyError(f"weights {path} cannot be read: expected a name that ends in one of {sorted(READERS)}")
    try:
        open_regular(path).close()
        return reader(path)
    except (OSError, EOFError, RuntimeError, SafetensorError) as error:
        raise StudyError(f"weights {path} cannot be read ({error}); give a whole file") from error
    except UnpicklingError as error:
        raise StudyError(
            f"weights {path} cannot be read without running what is in it ({error}); where you trust it, save its "
            "tensors as safetensors"
        ) from error


def _loader(name: str, row: ModelRow) -> PublicWeights:
    if row.public_weights is None:
        able = sorted(other for other, each in MODELS.items() if each.public_weights is not None)
        raise ModelError(f"model '{name}' has no VMamba encoder and is no Swin UNETR of CT; public weights fit {able}")
    return row.public_weights
