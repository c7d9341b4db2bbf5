"""What a study's directory was prepared under is what its file means today, or it is refused with what to write."""

import json
from pathlib import Path

import pytest

from deploy.study.defaults import refuse_other_defaults
from deploy.study.prepare import prepare
from protocol.errors import StudyError
from protocol.messages.tensors import TensorSpec
from server.study.checksums import write_checksums
from server.study.directory import PREPARED, write_prepared
from server.study.file import read_study
from tests.support.small_study import STUDY, write_study

MODULES = ["vit.blocks.0.attn.out_proj", "vit.blocks.0.attn.qkv"]
ONCE = (
    TensorSpec("pet_skip.weight", "pet", (1,)),
    *(TensorSpec(f"{module}#{role}", "peft", (2, 2)) for module in MODULES for role in ("lora_a", "lora_b")),
)
"""Of a study from before identities, in small."""


def keep_as_recipe(out: Path, text: str) -> None:
    """Prepared with this recipe; "" with none, as an earlier version did."""
    recipe = out / "recipe.json"
    if text:
        recipe.write_text(text)
    else:
        recipe.unlink()
    there = (*PREPARED, "study.toml", *([recipe.name] if text else []))
    write_checksums(out, {name: (out / name).read_bytes() for name in there})


def test_what_was_prepared_today_is_prepared_again(tmp_path: Path) -> None:
    path, out = write_study(tmp_path / "study.toml"), tmp_path / "out"
    prepare(path, out)
    assert json.loads((out / "recipe.json").read_text())["gate_rate"] == 5
    assert "recipe.json" in json.loads((out / "checksums.json").read_text())["files"]
    prepare(path, out)


def test_other_tensors_than_the_file_means_today_are_refused_with_the_options_to_write(tmp_path: Path) -> None:
    path, out = write_study(tmp_path / "study.toml"), tmp_path / "out"
    write_prepared(out, STUDY, ONCE, {}, {})
    with pytest.raises(StudyError, match="meant something else") as caught:
        prepare(path, out)
    said = f'`pathway = "published"` in [model.options] and `targets = {json.dumps(MODULES)}` in [adapter]. End it'
    assert said in str(caught.value)


def test_other_steps_than_the_file_means_today_are_refused_where_they_matter(tmp_path: Path) -> None:
    """A study without a recipe of its own is one of an earlier version, whose gates had the rate of all."""
    path, out = write_study(tmp_path / "study.toml"), tmp_path / "out"
    prepare(path, out)
    keep_as_recipe(out, "")
    with pytest.raises(StudyError, match=r"meant something else: `gate_rate = 1.0` in \[training\]\. End it"):
        prepare(path, out)
    keep_as_recipe(out, '{"ema": 0.5, "gate_rate": 1.0}')
    spoken = read_study(
        write_study(path, STUDY.replace("[centers.center-a]", "[training]\ngate_rate = 5\n[centers.center-a]"))
    )
    with pytest.raises(StudyError, match=r"meant something else: `ema = 0.5` in \[training\]\. End it"):
        refuse_other_defaults(out, spoken)
    published = STUDY.replace("[adapter]", '[model.options]\npathway = "published"\n[adapter]')
    prepare(write_study(path, published), tmp_path / "ungated")
    keep_as_recipe(tmp_path / "ungated", "")
    prepare(path, tmp_path / "ungated")
