"""What was prepared comes back; what is not complete is no study."""

from pathlib import Path

import numpy as np
import pytest

from protocol.errors import StudyError
from server.study.directory import StudyDirectory, read_prepared
from tests.support.light_study import SPECS, light


def test_what_was_prepared_comes_back(tmp_path: Path) -> None:
    prepared = read_prepared(light(tmp_path).root)
    assert (prepared.study.name, prepared.specs, prepared.adapter_config) == ("light", SPECS, {"peft_type": "LORA"})
    assert {key: array.shape for key, array in prepared.initial.items()} == {spec.key: spec.shape for spec in SPECS}
    assert not np.any(prepared.initial["qkv#lora_b"])
    assert prepared.groups["qkv.w"] == "backbone"


@pytest.mark.parametrize("name", ["tensors.json", "initial.safetensors", "adapter_config.json"])
def test_a_directory_without_one_of_its_files_is_not_complete(name: str, tmp_path: Path) -> None:
    root = light(tmp_path).root
    (root / name).unlink()
    with pytest.raises(StudyError, match=rf"study directory {root} is not complete .*; prepare the study again"):
        read_prepared(root)


def test_no_folder_with_secrets_is_shown_to_a_run() -> None:
    directory = StudyDirectory(Path("/study"))
    assert directory.enrolment.parent in directory.hidden_from_runs
    assert directory.kits in directory.hidden_from_runs
    assert directory.checkpoint.parent not in directory.hidden_from_runs
