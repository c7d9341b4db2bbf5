"""A backbone with public weights: the study's model drawn from its seed, its VMamba encoder from a file.

What the file has no weights for (tap norms, decoder) is what the seed draws. The result holds the CT network alone, as
`prepare` takes it; an encoder of PET's own belongs to the pathway that centers learn, and starts from the seed.
"""

from pathlib import Path

import safetensors
from safetensors.numpy import save
from safetensors.torch import load_file
from torch import Tensor, nn

from client.learning.assembly import arrays_of, build
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.registry import ModelRow, model_row
from fusion_models.ssm.vmamba_checkpoint import CheckpointReport, load_vmamba
from fusion_models.ssm.vss_encoder import VSSEncoder
from protocol.errors import ModelError, StudyError
from protocol.messages.tensors import BACKBONE, group_of
from protocol.storage.atomic_files import write_bytes
from server.study.file import read_study


def write_backbone(study_file: Path, weights: Path, out: Path) -> CheckpointReport:
    """Write the backbone of a study's model with public VMamba weights in its encoder.

    Args:
        study_file: the study file; its seed draws the rest of the backbone.
        weights: safetensors file in the public key names (`fusion_models.ssm.vmamba_checkpoint`).
        out: safetensors file for `prepare`.

    Returns:
        What became of each tensor of `weights`.

    Raises:
        StudyError: the study file cannot be run, or `weights` cannot be read.
        ModelError: the model has no VMamba encoder, or `weights` are those of another variant.
    """
    settings = read_study(study_file).settings
    name = settings.model.name
    try:
        row = model_row(name)
        model = build(settings, row)
    except ValueError as error:
        raise StudyError(f"study file {study_file}: {error}") from error
    encoder, state = _encoder(model, name, row), _read(weights)
    try:
        report = load_vmamba(encoder, state)
    except ValueError as error:
        raise ModelError(f"weights {weights} do not fit model '{name}': {error}") from error
    parameters = parameters_by_key(model).items()
    backbone = {key: each for key, each in parameters if group_of(key, row.pathways) == BACKBONE}
    write_bytes(out, save(arrays_of(backbone)))
    return report


def _encoder(model: nn.Module, name: str, row: ModelRow) -> VSSEncoder:
    """The CT network's VMamba encoder."""
    for path, module in model.named_modules():
        if isinstance(module, VSSEncoder) and group_of(f"{path}.", row.pathways) == BACKBONE:
            return module
    raise ModelError(f"model '{name}' has no VMamba encoder; public weights fit models whose CT network has one")


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise StudyError(f"weights {path} cannot be read ({error}); give a safetensors file") from error
