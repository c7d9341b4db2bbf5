from pathlib import Path
from types import SimpleNamespace

from server.study.directory import StudyDirectory
from server.study.file import Study, read_study
from tests.rehearsal.disturbances import CUTS
from tests.rehearsal.short_study import KEPT, NAMES, STUDY, begin_again


def test_the_short_study_can_be_run(tmp_path: Path) -> None:
    """Three centers in both stages, two of them enough: so a center may be missing from a round."""
    (tmp_path / "study.toml").write_text(STUDY)
    study: Study = read_study(tmp_path / "study.toml")
    assert tuple(study.centers) == NAMES
    assert [study.quorum_of(len(stage.centers)) for stage in study.stages] == [2, 2]
    assert study.reconnect_s > max(CUTS.values())


def test_beginning_again_keeps_what_the_federation_is_made_of() -> None:
    assert {"study.toml", "authority", "server", "enrolment", "link", "coordinator.toml"} <= KEPT
    assert not {"checkpoint.safetensors", "bank", "result.json", "progress.json", "launch.json"} & KEPT


def test_beginning_again_forgets_rounds_and_outboxes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for place in (root / "bank", root / "link", tmp_path / "center-a" / "trainer" / "outbox"):
        place.mkdir(parents=True)
    for name in ("checkpoint.safetensors", "study.toml", "registry.lock"):
        (root / name).write_text("")
    consortium = SimpleNamespace(directory=StudyDirectory(root), home=lambda center: tmp_path / center)
    begin_again(consortium)  # type: ignore[arg-type]
    assert sorted(path.name for path in root.iterdir()) == ["link", "registry.lock", "study.toml"]
    assert list((tmp_path / "center-a" / "trainer").iterdir()) == []
