"""A backbone that the center helped to train goes with it, or is named where others' versions still stand on it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from server.audit.verification import verify
from server.study.directory import read_prepared
from server.withdrawal.backbones import parted_backbones, prepared_backbone, remove_backbones
from server.withdrawal.lineage import Lineage
from server.withdrawal.withdrawal import plan_withdrawal
from strategies.bank.backbone_files import hashes_in
from strategies.bank.bank import AdapterBank
from tests.support.light_study import Light
from tests.support.withdrawn_study import PRETRAINED, copied, leave, ran

TO_SEND, UNFINISHED = "backbone", ".checkpoint.safetensors.0123abcd.part"


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Light:
    return ran(tmp_path_factory.mktemp("pretrained"), PRETRAINED)


@pytest.fixture
def study(pretrained: Light, tmp_path: Path) -> Light:
    """Also with the backbones laid out to be sent, as they are where a message would be too large."""
    found = copied(pretrained, tmp_path)
    shutil.copytree(found.directory.bank / "backbones", found.root / TO_SEND)
    bank = AdapterBank(found.directory.bank)
    initial = prepared_backbone(read_prepared(found.root))
    (found.root / TO_SEND / f"{initial}.safetensors").write_bytes(b"brought along")
    (trained,) = hashes_in(bank.root / "backbones")
    assert (bank.head("a").backbone, trained != initial) == (trained, True)
    return found


def backbones_in(root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """In the bank, and to be sent."""
    return hashes_in(root / "bank" / "backbones"), hashes_in(root / TO_SEND)


def test_one_that_others_versions_stand_on_stays_is_named_and_goes_to_nobody(study: Light) -> None:
    initial, (trained,) = prepared_backbone(read_prepared(study.root)), backbones_in(study.root)[0]
    told = leave(study, "b")
    assert [version.reference for version in told.influenced] == ["a/0001", "c/0001"]
    assert (told.removed_backbones, told.influenced_backbones) == ((), (trained,))
    assert trained in (study.directory.withdrawals / "b.html").read_text()
    assert backbones_in(study.root) == ((trained,), (initial,))
    assert backbones_in(Path(told.replay)) == ((), (initial,))
    assert verify(study.directory).findings == ()


def test_one_that_no_version_stands_on_any_more_is_removed_and_named(study: Light) -> None:
    """When the other centers have left too; what a kill left beside the files goes with it."""
    (trained,), _ = backbones_in(study.root)
    leave(study, "b")
    leave(study, "c")
    unfinished = (study.directory.bank / "backbones" / f".{trained}.safetensors.0123abcd.part", study.root / UNFINISHED)
    for path in unfinished:
        path.write_bytes(b"half of it")
    told = leave(study, "a")
    assert (told.removed_backbones, told.influenced_backbones) == ((trained,), ())
    assert trained in (study.directory.withdrawals / "a.html").read_text()
    assert backbones_in(study.root)[0] == ()
    assert [path.exists() for path in unfinished] == [False, False]
    assert verify(study.directory).findings == ()


def test_a_center_that_came_later_takes_no_backbone_with_it(study: Light) -> None:
    """It entered none; a backbone that no version names is none of those that are kept."""
    (trained,), (first, second) = backbones_in(study.root)
    stray = study.directory.bank / "backbones" / f"{'0' * 64}.safetensors"
    stray.write_bytes(b"killed before its version was written")
    told = leave(study, "c")
    assert (told.first_stage, told.removed_backbones, told.influenced_backbones) == ("stage-1", (), ())
    assert backbones_in(study.root) == ((trained,), (first, second))
    assert backbones_in(Path(told.replay)) == ((trained,), (first, second))
    assert AdapterBank(study.directory.bank).backbone(trained)


def test_of_a_center_that_never_entered_anything_all_stays(study: Light) -> None:
    """Also what no version names yet: the study may go on."""
    directory = study.directory
    AdapterBank(directory.bank).put_backbone({"w": np.ones(1, np.float32)})
    before = hashes_in(directory.bank / "backbones")
    lineage, parted = Lineage("c", None, ()), plan_withdrawal(directory, "c")[1]
    found = parted_backbones(directory, lineage, parted)
    remove_backbones(directory, AdapterBank(directory.bank), lineage, found)
    assert (found.gone, found.stay, hashes_in(directory.bank / "backbones")) == ((), (), before)
    assert len(before) == 2
