"""What changes anywhere is found and named; so is a file that nobody wrote, and a log that was cut or written anew."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from protocol.storage.sealed_json import read_sealed, seal
from server.audit.authority_copy import sign_with_authority
from server.audit.signed_head import SignedHead
from server.audit.verification import verify
from server.centers.federation_init import init_federation
from server.cli.bank import log_beside
from server.study.directory import StudyDirectory
from strategies.bank.bank import AdapterBank
from tests.support.audited_study import finished_study, found_in, log_lines, texts_of, write_anew
from tests.support.enrolled_study import COORDINATOR
from tests.support.killed_study import TWO_STAGES
from tests.support.light_study import Light, light

PLACES = (
    "audit.jsonl",
    "checkpoint.safetensors",
    "stages/0001.safetensors",
    "bank/study.json",
    "bank/adapters/shared/HEAD",
    "bank/adapters/shared/0001/adapter_model.safetensors",
    "bank/adapters/shared/0002/entry.json",
    "bank/adapters/shared/0002/adapter_config.json",
    "result.json",
    "study.toml",
    "initial.safetensors",
    "checksums.json",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_study(tmp_path_factory.mktemp("audited")).root


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


def test_a_study_that_nobody_touched_is_whole(root: Path) -> None:
    """Without an authority nothing of it is signed, and that is no finding."""
    found = verify(StudyDirectory(root))
    assert (found.findings, found.signed, found.authority) == ((), None, "")
    names = [event.event for event in found.events]
    assert (names.count("round"), names.count("version"), names[-1]) == (4, 6, "ended")


@pytest.mark.parametrize("place", PLACES)
def test_a_changed_bit_is_found_and_named(place: str, root: Path) -> None:
    """In the middle of each file; of a file of the bank, its folder or itself is named."""
    path = root / place
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    if place == "study.toml":  # whatever became of it, it is no study any more, or not the one that was prepared
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content) + b"\n")
    findings = found_in(root)
    assert findings
    assert {weight for weight, _ in findings} == {"broken"}
    named = [what for _, what in findings]
    assert any(place.startswith(what.split(" ")[0]) or what == str(root) for what in named), named


def test_a_changed_byte_of_a_backbone_is_found_also_where_no_tensor_changes(root: Path) -> None:
    """Metadata of a safetensors file stand before its tensors, whose content hash they do not touch."""
    (path,) = (root / "bank" / "backbones").iterdir()
    whole = path.read_bytes()
    for changed in (whole.replace(b'"pt"', b'"PT"'), whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(changed)
        assert found_in(root) == [("broken", f"bank/backbones/{path.name}")]


@pytest.mark.parametrize(
    "place",
    [
        "bank/router.json",
        "bank/notes.txt",
        "bank/adapters/shared/0002/residual/adapter_config.json",
        "bank/adapters/a/0001/center/adapter_config.json",
    ],
)
def test_a_file_that_nobody_wrote_is_found_and_named(place: str, root: Path) -> None:
    (root / place).parent.mkdir(exist_ok=True)
    (root / place).write_bytes(b"{}")
    assert found_in(root) == [("broken", place)]


def test_a_whole_backbone_that_nobody_put_there_is_found(root: Path) -> None:
    sha256 = AdapterBank(root / "bank").put_backbone({"w": np.ones(1, np.float32)})
    assert found_in(root) == [("broken", f"bank/backbones/{sha256}.safetensors")]


def test_a_result_that_is_gone_is_found(root: Path) -> None:
    (root / "result.json").unlink()
    assert found_in(root) == [("broken", "result.json")]


def as_an_earlier_version_wrote(log: Path) -> list[bytes]:
    """The lines of a log from before each file of bank and result had its event."""
    left = [json.loads(line) for line in log_lines(log)]
    new = ("every_file", "files")
    return [
        json.dumps({name: value for name, value in line.items() if name not in new}).encode()
        for line in left
        if line["event"] not in {"backbone", "result"}
    ]


def test_a_study_of_an_earlier_version_is_whole_and_says_what_was_not_recorded(root: Path) -> None:
    write_anew(root / "audit.jsonl", as_an_earlier_version_wrote(root / "audit.jsonl"))
    found = verify(StudyDirectory(root))
    assert (found.findings, found.every_file) == ((), False)
    AdapterBank(root / "bank").put_backbone({"w": np.ones(1, np.float32)})
    for place in ("result.json", "bank/router.json"):
        (root / place).write_bytes(b"{}")
    stray = "bank/adapters/a/0001/center/adapter_config.json"
    (root / stray).parent.mkdir()
    (root / stray).write_bytes(b"{}")
    assert found_in(root) == [("broken", stray)]


def test_one_that_is_resumed_records_from_then_on(finished: Path, tmp_path: Path) -> None:
    """What is there then is taken over as it is found."""
    study = Light(Path(shutil.copytree(finished, tmp_path / "out")), light(tmp_path / "new", TWO_STAGES).centers)
    write_anew(study.directory.audit, as_an_earlier_version_wrote(study.directory.audit))
    (study.root / "bank" / "router.json").write_bytes(b"{}")
    study.run()
    found = verify(study.directory)
    assert (found.findings, found.every_file) == ((), True)
    (study.root / "bank" / "router.json").write_bytes(b"{ }")
    assert found_in(study.root) == [("broken", "bank/router.json")]


def seal_anew(path: Path, change: dict[str, object]) -> None:
    path.write_bytes(seal({**read_sealed(path), **change}))


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("bank/adapters/shared/HEAD", {"version": 1}),
        ("bank/adapters/a/0002/entry.json", {"parent": "a/0009"}),
        ("bank/study.json", {"extra": 1}),
    ],
)
def test_a_file_that_was_sealed_anew_is_found_all_the_same(place: str, change: dict[str, object], root: Path) -> None:
    seal_anew(root / place, change)
    assert ("broken", place) in found_in(root)


def test_a_version_that_nobody_made_and_one_that_is_gone_are_found(root: Path) -> None:
    folder = root / "bank" / "adapters" / "b"
    shutil.copytree(folder / "0002", folder / "0003")
    shutil.rmtree(folder / "0001")
    assert found_in(root) == [("broken", "bank/adapters/b/0003"), ("broken", "bank/adapters/b/0001")]


def test_an_earlier_checkpoint_put_back_is_found(root: Path) -> None:
    shutil.copy(root / "stages" / "0001.safetensors", root / "checkpoint.safetensors")
    assert found_in(root) == [("broken", "checkpoint.safetensors")]


def test_a_log_that_is_gone_is_found(root: Path) -> None:
    (root / "audit.jsonl").unlink()
    assert found_in(root) == [("broken", "audit.jsonl")]


def test_a_tail_that_was_cut_off_is_found_by_what_it_spoke_of(root: Path) -> None:
    """Log and head written anew without the last stage: the chain is whole, the bank tells."""
    log = root / "audit.jsonl"
    lines = log_lines(log)
    write_anew(log, lines[:20])
    assert {("broken", "bank/adapters/shared/0002"), ("broken", "checkpoint.safetensors")} <= set(found_in(root))


def test_a_tail_that_nothing_else_tells_of_is_found_by_a_head_that_was_kept(root: Path) -> None:
    log = root / "audit.jsonl"
    head = verify(StudyDirectory(root)).chain.head
    write_anew(log, log_lines(log)[:-1])
    assert found_in(root) == []
    kept = SignedHead(study="light", lines=35, head=head, signed_at="then", authority="")
    for found in (verify(StudyDirectory(root), kept=[kept]), verify(StudyDirectory(root), noted=[head])):
        assert "it was cut, or written anew" in texts_of(found)


def test_a_study_that_ran_under_an_authority_and_lost_its_signatures_is_found(root: Path, tmp_path: Path) -> None:
    """Log and head written anew without them, and no copy within reach."""
    authority, log = str(tmp_path / "authority"), root / "audit.jsonl"
    init_federation(StudyDirectory(root), COORDINATOR.model_copy(update={"authority": authority}))
    sign_with_authority(StudyDirectory(root))
    assert found_in(root) == []
    write_anew(log, [line for line in log_lines(log) if json.loads(line)["event"] != "signed"])
    assert found_in(root) == [("unfinished", "audit.jsonl")]
    assert "no event of it is signed" in texts_of(verify(StudyDirectory(root)))
    write_anew(log, log_lines(log)[:1])  # before anything ran, nobody has to have signed
    assert "no event of it is signed" not in texts_of(verify(StudyDirectory(root)))


def test_a_rollback_by_hand_is_an_event(root: Path) -> None:
    AdapterBank(root / "bank", log_beside(root / "bank")).rollback("shared", 1)
    found = verify(StudyDirectory(root))
    assert found.findings == ()
    assert (found.events[-1].event, found.events[-1].facts["reference"]) == ("head", "shared/0001")


def test_a_rollback_that_a_kill_broke_off_is_explained(root: Path) -> None:
    """The event stands, HEAD did not move: given again, all is whole."""
    log_beside(root / "bank")("head", {"adapter": "shared", "version": 1, "reference": "shared/0001", "sha256": ""})
    assert found_in(root) == [("unfinished", "bank/adapters/shared/HEAD")]
    AdapterBank(root / "bank", log_beside(root / "bank")).rollback("shared", 1)
    assert found_in(root) == []
