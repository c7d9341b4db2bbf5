"""What a kit says a study costs a center, against numbers counted by hand and against a run's own count."""

from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.enrolment.plan import agreed_digest
from protocol.messages.tensors import TensorSpec, read_specs
from server.centers.study_agreement import (
    CPU_SUFFICES_BYTES,
    bytes_per_round,
    disk_bytes,
    gpu_memory_bytes,
    minimum_cases,
    study_agreement,
)
from server.study import checkpoint
from server.study.coordinator_settings import read_coordinator
from server.study.directory import StudyDirectory
from server.study.file import Study, read_study
from server.study.stage import Center
from tests.support.enrolled_study import SPECS, STUDY, write_coordinator_directory

StudyOf = Callable[[str], Study]
LATER = 'name = "pretrain"\nkind = "adapt"'
BACKBONE, PET, FUSION, PEFT = 8, 6, 5, 8 + 12 + 6
"""Values of each group of SPECS."""


@pytest.fixture
def study_of(tmp_path: Path) -> StudyOf:
    def read(text: str) -> Study:
        (tmp_path / "study.toml").write_text(text)
        return read_study(tmp_path / "study.toml")

    return read


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    return write_coordinator_directory(tmp_path / "root")


def test_the_agreement_holds_the_digest_of_the_settings_that_will_be_sent(directory: StudyDirectory) -> None:
    agreement = study_agreement(directory, read_coordinator(directory.coordinator), "center-d")
    settings = read_study(directory.study_file).settings_for("center-d")
    assert (agreement.settings, agreement.agreed_sha256) == (settings, agreed_digest(settings, agreement.plan))
    assert (agreement.modalities, agreement.rows, agreement.image) == (("ct",), {}, "client:1")


def test_a_center_receives_and_sends_four_bytes_a_value_of_what_trains(study_of: StudyOf) -> None:
    trained = 4 * (PET + FUSION + PEFT)
    assert bytes_per_round(study_of(STUDY), SPECS, "center-a") == (trained, trained)


def test_a_center_without_pet_receives_what_it_does_not_send(study_of: StudyOf) -> None:
    assert bytes_per_round(study_of(STUDY), SPECS, "center-d") == (4 * (PET + FUSION + PEFT), 4 * PEFT)


def test_a_backbone_counts_where_a_stage_trains_it(study_of: StudyOf) -> None:
    only = STUDY.replace('kind = "adapt"', 'kind = "pretrain"')
    assert bytes_per_round(study_of(only), SPECS, "center-a") == (4 * BACKBONE, 4 * BACKBONE)


def test_an_adapter_counts_at_the_centers_own_rank(study_of: StudyOf) -> None:
    ranked = STUDY.replace("[centers.center-a]", "[centers.center-a]\nrank = 4").replace(
        "[[stages]]", '[strategy.aggregation]\nscheme = "product-exact"\n\n[[stages]]', 1
    )
    assert bytes_per_round(study_of(ranked), SPECS, "center-a")[1] == 4 * (PET + FUSION + 2 * 20 + 6)


def test_an_anchor_doubles_what_comes_down(study_of: StudyOf) -> None:
    anchored = STUDY.replace("[[stages]]", "[strategy.terms]\ngram_anchor = 1.0\n\n[[stages]]", 1)
    trained = 4 * (PET + FUSION + PEFT)
    assert bytes_per_round(study_of(anchored), SPECS, "center-a") == (2 * trained, trained)


def test_a_study_needs_a_case_for_each_part_of_its_split(study_of: StudyOf) -> None:
    without = STUDY.replace("[centers.center-a]", "[split]\ntest = 0.0\n\n[centers.center-a]", 1)
    assert [minimum_cases(study_of(text)) for text in (STUDY, without)] == [3, 2]


def test_a_tiny_network_needs_no_gpu_and_a_large_one_does(study_of: StudyOf) -> None:
    large = (TensorSpec("w", "backbone", (CPU_SUFFICES_BYTES // 4,)), *SPECS)
    assert gpu_memory_bytes(study_of(STUDY), SPECS) == 0
    assert gpu_memory_bytes(study_of(STUDY), large) >= 4 * CPU_SUFFICES_BYTES


def test_a_finer_grid_needs_more_disk(study_of: StudyOf) -> None:
    fine = STUDY.replace("[10.0, 10.0, 10.0]", "[5.0, 5.0, 5.0]")
    cached = [disk_bytes(study_of(text), SPECS, 0, 0) for text in (STUDY, fine)]
    assert cached[1] - cached[0] == 7 * 100 * 3 * 4 * 100 * 40 * 40


def test_a_study_without_images_caches_none_and_needs_no_gpu_for_them(study_of: StudyOf) -> None:
    """A batch of 2^21 voxels of activations would need 16 GiB; what is left are 2 GiB of logs and the like."""
    study = study_of(STUDY.replace("[16, 16, 16]", "[128, 128, 128]"))
    records = study.model_copy(update={"centers": {name: Center(modalities=("ehr",)) for name in study.centers}})
    assert gpu_memory_bytes(study, SPECS) > 0
    assert gpu_memory_bytes(records, SPECS) == 0
    assert disk_bytes(records, (), 0, 0) == 2 * 1024**3


@pytest.mark.parametrize("trains_backbone", [True, False])
def test_a_backbone_file_is_named_where_the_first_stage_leaves_it_alone(tmp_path: Path, trains_backbone: bool) -> None:
    directory = write_coordinator_directory(tmp_path / "root")
    if not trains_backbone:
        directory.study_file.write_text(STUDY.replace('name = "pretrain"\nkind = "pretrain"', LATER))
    directory.backbones.mkdir()
    (directory.backbones / f"{'c' * 64}.safetensors").write_bytes(b"12345")
    agreement = study_agreement(directory, read_coordinator(directory.coordinator), "center-a")
    expected = ("", 0) if trains_backbone else ("c" * 64, 5)
    assert (agreement.backbone_sha256, agreement.backbone_bytes) == expected


def test_the_estimate_is_what_a_run_really_sends(finished: StudyDirectory) -> None:
    study, specs = read_study(finished.study_file), read_specs(finished.root / "tensors.json")
    state = checkpoint.load(finished.checkpoint)
    assert state is not None
    for center in study.centers:
        mine = [record for record in state.history.rounds if record.center == center]
        found = max(record.bytes_down for record in mine), max(record.bytes_up for record in mine)
        assert bytes_per_round(study, specs, center) == found
