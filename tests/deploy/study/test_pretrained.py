"""`concilium backbone`: public weights in a study's backbone, in the formats of its model, and what is refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from monai.networks.nets import SwinUNETR
from safetensors.numpy import load_file
from safetensors.torch import save_file
from torch import Tensor
from typer.testing import CliRunner

import deploy.coordinator.cli  # noqa: F401 adds its commands to the coordinator's
from deploy.study.prepare import initial_state, prepare
from fusion_models.log_vmamba.ct_pet_2d import LOG_2D_TINY
from fusion_models.options import Sizes
from fusion_models.ssm.stacked import stack_directions
from fusion_models.ssm.vmamba_checkpoint import public_name
from fusion_models.ssm.vss_encoder import VSSEncoder
from fusion_models.vmambax.slices import VMAMBAX_TINY
from protocol.messages.tensors import BACKBONE
from server.cli.app import app
from server.study.file import read_study
from tests.support.small_study import STUDY, write_study

ENCODER = "network.encoder."
SLICES = STUDY.replace("[16, 16, 16]", "[1, 32, 32]")


def study_of(tmp_path: Path, model: str) -> Path:
    """A study of slices of 32 x 32; `model` is a row's name, options after it."""
    name, *options = model.split()
    chosen = f'name = "{name}"\n[model.options]\n' + "\n".join(options)
    return write_study(tmp_path / "study.toml", SLICES.replace('name = "pemma-unetr-tiny"', chosen))


def public_weights(sizes: Sizes = VMAMBAX_TINY, **other: Any) -> dict[str, Tensor]:
    """What a public file of these sizes holds: every tensor of the encoder 0.5, and a classifier."""
    options = {**sizes, **other}
    encoder = VSSEncoder(3, **{name: options[name] for name in ("width", "depths", "state", "patch")})
    own = {public_name(key): tensor for key, tensor in stack_directions(encoder.state_dict()).items()}
    return {key: torch.full_like(tensor, 0.5) for key, tensor in own.items()} | {"head.bias": torch.ones(2)}


def run(tmp_path: Path, study: Path, weights: dict[str, Tensor] | None) -> Result:
    if weights is not None:
        save_file(weights, tmp_path / "public.safetensors")
    public, out = tmp_path / "public.safetensors", tmp_path / "backbone.safetensors"
    return CliRunner().invoke(app, ["backbone", "--study", str(study), "--vmamba", str(public), "--out", str(out)])


@pytest.mark.parametrize(
    ("model", "sizes"),
    [
        ("vmambax-tiny", VMAMBAX_TINY),
        ('vmambax-tiny encoder="separate"', VMAMBAX_TINY),
        ("log-vmamba-2d-tiny", LOG_2D_TINY),
    ],
)
def test_a_study_starts_from_the_public_weights_and_elsewhere_from_its_seed(
    tmp_path: Path, model: str, sizes: Sizes
) -> None:
    study = study_of(tmp_path, model)
    found = run(tmp_path, study, public_weights(sizes))
    assert found.exit_code == 0, found.output
    assert "the classifier, ignored: head.bias" in found.stdout
    prepare(study, tmp_path / "out", tmp_path / "backbone.safetensors")
    specs, drawn, _ = initial_state(read_study(study))
    initial = load_file(tmp_path / "out" / "initial.safetensors")
    assert set(initial) == set(drawn)
    loaded = {spec.key for spec in specs if spec.group == BACKBONE and spec.key.startswith(ENCODER)}
    for key, array in initial.items():
        assert (array == (0.5 if key in loaded else drawn[key])).all(), key


def test_the_command_says_what_it_loaded_and_what_it_skipped(tmp_path: Path) -> None:
    """Four tensors of a patch embedding for patches of 4, where the study's are of 2."""
    weights = public_weights(patch=4)
    found = run(tmp_path, study_of(tmp_path, "vmambax-tiny"), weights)
    assert f"backbone.safetensors: {len(weights) - 5} tensors of" in found.stdout
    assert "for other inputs, skipped: patch_embed.norm.bias, patch_embed.norm.weight, patch_embed.proj" in found.stdout


@pytest.mark.parametrize(
    ("model", "weights", "message"),
    [
        ("pemma-unetr-tiny", public_weights(), "error (model): model 'pemma-unetr-tiny' has no VMamba encoder"),
        ("vmambax-tiny", public_weights(width=8), "expected v0 names, width 16, depths (1, 1)"),
        ("vmambax-tiny", None, "public.safetensors cannot be read"),
        ("vmambax-tiny interaction=1", public_weights(), "error (study): study file"),
    ],
)
def test_what_cannot_be_loaded_is_one_message_and_leaves_no_file(
    tmp_path: Path, model: str, weights: dict[str, Tensor] | None, message: str
) -> None:
    study = study_of(tmp_path, model)
    if model.startswith("pemma"):
        study.write_text(STUDY)
    found = run(tmp_path, study, weights)
    assert found.exit_code == 1
    assert message in found.stderr
    assert "Traceback" not in found.output
    assert not (tmp_path / "backbone.safetensors").exists()


SWIN = "pemma-swin-paper features=12 depths=[1,1,1,1]"
SWIN_SIZES: dict[str, Any] = {"feature_size": 12, "depths": (1, 1, 1, 1)}


def swin_study(tmp_path: Path) -> Path:
    study = study_of(tmp_path, SWIN)
    study.write_text(study.read_text().replace("[1, 32, 32]", "[64, 64, 64]"))
    return study


def monai_weights() -> dict[str, Tensor]:
    """MONAI's network for 14 classes, every weight 0.5."""
    found = SwinUNETR(1, 14, **SWIN_SIZES).state_dict()
    return {name: tensor if "index" in name else torch.full_like(tensor, 0.5) for name, tensor in found.items()}


def load_into(study: Path, weights: Path) -> Result:
    out = study.with_name("backbone.safetensors")
    command = ["backbone", "--study", str(study), "--weights", str(weights), "--out", str(out)]
    return CliRunner().invoke(app, command)


def suprem_file(tmp_path: Path) -> Path:
    named: Mapping[str, Tensor] = {f"module.backbone.{name}": tensor for name, tensor in monai_weights().items()}
    torch.save({"net": {**named, "module.organ_embedding": torch.ones(2)}, "epoch": 1}, tmp_path / "suprem.pth")
    return tmp_path / "suprem.pth"


def btcv_file(tmp_path: Path) -> Path:
    torch.save({"state_dict": monai_weights(), "epoch": 1}, tmp_path / "btcv.pt")
    return tmp_path / "btcv.pt"


def bare_file(tmp_path: Path) -> Path:
    save_file(monai_weights(), tmp_path / "bare.safetensors")
    return tmp_path / "bare.safetensors"


@pytest.mark.parametrize("write", [suprem_file, btcv_file, bare_file])
def test_a_swin_unetr_of_monai_starts_a_study_but_for_its_output_layer(tmp_path: Path, write: Any) -> None:
    study = swin_study(tmp_path)
    found = load_into(study, write(tmp_path))
    assert found.exit_code == 0, found.output
    assert "for other classes, skipped: " in found.stdout
    assert ("no part of a Swin UNETR, ignored: module.organ_embedding" in found.stdout) == (write is suprem_file)
    prepare(study, tmp_path / "out", tmp_path / "backbone.safetensors")
    specs, drawn, _ = initial_state(read_study(study))
    initial = load_file(tmp_path / "out" / "initial.safetensors")
    loaded = {spec.key for spec in specs if spec.group == BACKBONE and not spec.key.startswith("out.")}
    for key, array in initial.items():
        assert (array == (0.5 if key in loaded else drawn[key])).all(), key


class Code:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("ran",)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"net": Code()}, tmp_path / "code.pt")
    found = load_into(swin_study(tmp_path), tmp_path / "code.pt")
    assert found.exit_code == 1
    assert "cannot be read without running what is in it" in " ".join(found.stderr.split())
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize(("name", "said"), [("weights.txt", "ends in one of"), ("damaged.pt", "give a whole file")])
def test_what_is_no_file_of_weights_is_refused(tmp_path: Path, name: str, said: str) -> None:
    btcv_file(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / "btcv.pt").read_bytes()[:1000])
    found = load_into(swin_study(tmp_path), tmp_path / name)
    assert found.exit_code == 1
    assert said in " ".join(found.stderr.split())
    assert not (tmp_path / "backbone.safetensors").exists()
