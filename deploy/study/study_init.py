"""`concilium study init`: a study file becomes a directory that centers can be enrolled in."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from protocol.enrolment.endpoint import host_and_port
from protocol.errors import StudyError
from protocol.messages.settings import findings
from protocol.storage.atomic_files import write_bytes
from protocol.storage.own_folders import follow_own_link, refuse_foreign_entries, take_folder
from server.audit.authority_copy import sign_with_authority
from server.centers.federation_init import authority_folder, init_federation
from server.study.coordinator_settings import CoordinatorSettings, client_image, read_coordinator
from server.study.directory import StudyDirectory
from server.study.file import Study, read_study
from server.study.recorder import Recorder
from server.tls.authority import KEY_FILE, is_open_key

EXAMPLES = (8, 16)
"""Patients of a center, for which `study init` tells what would be withheld."""


def init_study(file: Path, root: Path, endpoint: str, *, backbone: Path | None = None, **given: Any) -> StudyDirectory:
    """Prepare a study and found its federation; what is there already stays as it is, `root` gets mode 0700.

    Args:
        file: the study file.
        root: the coordinator's directory.
        endpoint: "host:port" under which centers reach the coordinator.
        backbone: safetensors file of a backbone to start from; a copy goes to ROOT/backbone/<content hash>.safetensors.
        given: other `CoordinatorSettings`; those left out are as they were, or the defaults.

    Raises:
        StudyError: the study cannot be run, a setting is wrong, `root` holds another study or other settings, or torch
            is not installed here.
        EnrolmentError: an authority or a certificate cannot be read.
        StorageError: the disk refuses, or another account owns `root`, the authority's folder or something in them.
    """
    root = follow_own_link(root)
    directory = StudyDirectory(root)
    settings = _settings(directory, read_study(file), endpoint, given)
    if not root.exists():
        root.mkdir(parents=True, mode=0o700)
    take_folder(root)
    refuse_foreign_entries(root)
    _prepare(file, root, backbone)
    if backbone is not None:
        content = json.loads((root / "backbone.json").read_text())["content_sha256"]
        kept = directory.backbones / f"{content}.safetensors"
        if not kept.exists():
            write_bytes(kept, backbone.read_bytes())
    init_federation(directory, settings)
    if not directory.audit.exists():
        Recorder(directory).prepare()
        if is_open_key(authority_folder(directory, settings) / KEY_FILE):
            sign_with_authority(directory)
    return directory


def outlook(study: Study) -> list[str]:
    """What centers that join with the defaults would withhold by the study's split, and what that does to its gate."""
    from client.data.split_outlook import outlook_lines, wanted_parts
    from client.home.center_home import DEFAULT_MINIMUM_CASES

    lines = outlook_lines(study.split, DEFAULT_MINIMUM_CASES, EXAMPLES)
    if study.strategy.gate is not False and "validation" in wanted_parts(study.split):
        lines.append(
            "where all centers of a stage withhold what the no-harm gate asks for, the study stops there: let small "
            "centers join with a smaller --minimum-cases, give validation a larger share, or set gate = false"
        )
    return [f"with the default --minimum-cases {DEFAULT_MINIMUM_CASES}, a center of", *(f"  {line}" for line in lines)]


def _prepare(file: Path, root: Path, backbone: Path | None) -> None:
    try:
        from deploy.study.prepare import prepare
    except ModuleNotFoundError as error:
        raise StudyError(
            f"`study init` draws the initial state and needs {error.name}, which is not installed here; run it where "
            f"concilium is installed whole, such as in the client image, then copy {root} to the coordinator"
        ) from error
    prepare(file, root, backbone)


def _settings(directory: StudyDirectory, study: Study, endpoint: str, given: dict[str, Any]) -> CoordinatorSettings:
    if authority := given.get("authority"):
        given = {**given, "authority": str(Path(authority).resolve())}
    try:
        if directory.coordinator.exists():
            before = read_coordinator(directory.coordinator).model_dump()
            return CoordinatorSettings.model_validate({**before, "endpoint": endpoint, **given})
        host_and_port(endpoint)
        root = directory.root.resolve()
        apart = str(root.with_name(f"{root.name}.authority"))
        defaults = {"consortium": study.title, "image": client_image(), "authority": apart}
        return CoordinatorSettings.model_validate({**defaults, "endpoint": endpoint, **given})
    except ValidationError as error:
        found_wrong = "\n  ".join(findings(error))
        raise StudyError(f"these settings cannot be used:\n  {found_wrong}") from error
    except ValueError as error:
        raise StudyError(f"--endpoint: {error}") from error
