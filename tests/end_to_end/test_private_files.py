"""What stems from patients is for the account that keeps it, from the moment it exists."""

import ast
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from client.service.trainer import Trainer
from server.study.directory import StudyDirectory
from server.study.file import Study, read_study
from tests.support.one_center import asked

OTHERS = 0o077
MODELS = ("bank", "inbox", "checkpoint.safetensors", "history.jsonl", "stages")
"""What the coordinator keeps that centers' patients shaped, beside scores."""


@pytest.fixture(scope="module")
def study(study_file: Path) -> Study:
    return read_study(study_file)


def readable_by_others(*roots: Path) -> list[str]:
    """Files and folders that another account could enter, read or write."""
    found = [path for root in roots for path in (root, *root.rglob("*"))]
    return [str(path) for path in found if not path.is_symlink() and path.stat().st_mode & OTHERS]


def test_no_file_of_a_center_can_be_read_by_others_after_a_study(finished: StudyDirectory) -> None:
    """Manifests, caches, splits, predictions, scores, reports, outboxes, backbones and logs of two centers."""
    homes = finished.root / "centers"
    assert len(list(homes.rglob("*"))) > 30
    assert readable_by_others(homes) == []


def test_nor_can_what_the_coordinator_learnt_from_them(finished: StudyDirectory) -> None:
    assert readable_by_others(*(finished.root / name for name in MODELS)) == []
    assert finished.root.stat().st_mode & OTHERS == 0


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_whatever_the_umask(cohort: Path, tmp_path: Path, study: Study, mask: int) -> None:
    home, before = tmp_path / "home", os.umask(mask)
    try:
        trainer = Trainer("center-d", [cohort / "center-d"], ("ct",), home)
        for kind in ("register", "train", "evaluate"):
            assert trainer.perform(asked(study, kind)).error == ""
    finally:
        os.umask(before)
    assert {"cache", "outbox", "outgoing.jsonl", "scores.json"} <= {path.name for path in home.iterdir()}
    assert readable_by_others(home) == []


# What follows keeps it so: client code makes no file but through `protocol.storage`, or says here why not.

WRITERS = frozenset({"write_bytes", "write_text", "write_directory", "mkdir", "makedirs", "touch", "chmod", "copyfile"})
ELSEWHERE: Mapping[str, frozenset[str]] = {
    # Folders with their mode in the call; a mark in the private folder.
    "client/convert/case_folder.py": frozenset({"mkdir"}),
    "client/data/volume.py": frozenset({"mkdir"}),
    "client/dicom/unpacking.py": frozenset({"touch"}),
    # Closes what is open.
    "client/convert/identities.py": frozenset({"chmod"}),
    "client/home/privacy.py": frozenset({"chmod"}),
    # Lets its owner run a command that was written for him alone.
    "client/node/node_files.py": frozenset({"chmod"}),
    # Made up, of nobody.
    "client/data/synthetic.py": frozenset({"write_text"}),
}


def writes(path: Path) -> Iterator[str]:
    """What a module calls that makes a file or sets its mode, without what is made for the owner alone."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in WRITERS:
            yield name
        elif name == "open" and any(
            isinstance(given, ast.Constant) and isinstance(given.value, str) and set(given.value) & set("wax+")
            for given in (*node.args, *(word.value for word in node.keywords))
            if not isinstance(given, ast.Constant) or given.value != "rb"
        ):
            yield "open"


def test_a_client_writes_nothing_for_others(repository: Path) -> None:
    found = {
        str(path.relative_to(repository)): frozenset(writes(path))
        for path in sorted((repository / "client").rglob("*.py"))
    }
    assert {path: names for path, names in found.items() if names} == dict(ELSEWHERE)
