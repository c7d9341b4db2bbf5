import gzip
from pathlib import Path
from types import SimpleNamespace

import pytest

from server.study.file import read_study
from tests.rehearsal.rehearsed_study import (
    CANARY,
    CANARY_CENTER,
    NAMES,
    STUDY,
    damage_images,
    restore_images,
    wait_for_stage,
    write_cohort,
)


def test_two_centers_pretrain_three_adapt_and_the_fourth_arrives(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    study = read_study(tmp_path / "study.toml")
    assert [(stage.kind, stage.centers) for stage in study.stages] == [
        ("pretrain", NAMES[:2]),
        ("adapt", NAMES[:3]),
        ("arrive", NAMES[3:]),
    ]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rehearsed")
    write_cohort(folder / "data")
    return folder


def test_the_canary_is_in_names_and_headers_of_one_center_alone(cohort: Path) -> None:
    folders = {
        center: sorted(path.name for path in (cohort / "data" / center).iterdir() if path.is_dir()) for center in NAMES
    }
    assert [name for names in folders.values() for name in names if CANARY in name] == folders[CANARY_CENTER]
    assert len(folders[CANARY_CENTER]) == 5
    image = cohort / "data" / CANARY_CENTER / f"{CANARY}-1" / "ct.nii.gz"
    assert CANARY.encode() in gzip.decompress(image.read_bytes())[:348]


def test_images_that_were_damaged_come_back_and_look_unchanged(cohort: Path) -> None:
    socket = cohort / CANARY_CENTER / "run" / "trainer.sock"
    socket.parent.mkdir(parents=True)
    socket.touch()
    images = sorted((cohort / "data" / CANARY_CENTER).rglob("ct.nii.gz"))
    before = {image: (image.read_bytes(), image.stat().st_size, image.stat().st_mtime_ns) for image in images}
    held = damage_images(cohort)
    assert len(held) == 4
    for image in held:
        assert image.read_bytes() == bytes(before[image][1])
        assert (image.stat().st_size, image.stat().st_mtime_ns) == before[image][1:]
    restore_images(held)
    after = {image: (image.read_bytes(), image.stat().st_size, image.stat().st_mtime_ns) for image in images}
    assert after == before


def test_a_stage_is_waited_for_by_its_name() -> None:
    asked = []
    states = iter([{}, {"stage": "pretrain"}, {"stage": "adapt"}])

    def wait_until(condition, what, within_s):
        asked.append(what)
        while not condition():
            pass

    wait_for_stage(SimpleNamespace(progress=lambda: next(states), wait_until=wait_until), "adapt")  # type: ignore[arg-type]
    assert asked == ["stage adapt"]
    assert next(states, None) is None
