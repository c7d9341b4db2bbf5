"""A coordinator's directory for tests that need no network that learns, with centers in its registry."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from protocol.enrolment.public_keys import canonical_key, fingerprint
from protocol.messages.tensors import TensorSpec
from server.centers.federation_init import init_federation
from server.centers.registry import CenterRegistry, Member, write_registry
from server.runs.state_files import Launch, RunProgress, read_launch, write_state
from server.study.coordinator_settings import CoordinatorSettings
from server.study.directory import StudyDirectory, write_prepared
from server.tls.authority import utc_now
from tests.support.loopback import write_node_key
from tests.support.study_text import centers_text, stage_text

CENTERS = ("center-a", "center-b", "center-c")
STUDY = (
    'name = "roots"\ntitle = "A study to launch"\nformed_by = "nobody"\nquorum = 2\n'
    '\n[model]\nname = "pemma-unetr-tiny"\n'
    + centers_text(CENTERS)
    + stage_text("adapt", CENTERS, rounds=2, local_steps=1)
)


def init_root(root: Path, *, port: int = 9443) -> StudyDirectory:
    """A coordinator at localhost:`port`, with nobody in its registry."""
    specs = (TensorSpec("w", "peft", (1,)),)
    write_prepared(root, STUDY, specs, {"w": np.zeros(1, np.float32)}, {})
    directory = StudyDirectory(root)
    init_federation(directory, CoordinatorSettings(consortium="tests", endpoint=f"localhost:{port}", image="none"))
    return directory


def enroll(directory: StudyDirectory, centers: Sequence[str], *, until: datetime | None = None) -> None:
    """Put centers in the registry as if their answers had been accepted; their keys are under ROOT/keys."""
    keys = directory.root / "keys"
    keys.mkdir(exist_ok=True)
    members = {}
    for center in centers:
        write_node_key(keys, center)
        key = canonical_key((keys / f"{center}.pub").read_text())
        members[center] = Member(
            state="enrolled",
            kit_expires_at=utc_now(),
            member_days=365,
            member_until=until or utc_now() + timedelta(days=365),
            public_key=key,
            fingerprint=fingerprint(key),
        )
    write_registry(directory.enrolment, CenterRegistry(study="roots", members=members))


def want(directory: StudyDirectory, wanted: str = "running") -> None:
    """Write what is wanted."""
    launch = {"wanted": wanted, "run_id": "1", "launched_at": utc_now(), "starts": 1}
    write_state(directory.launch, Launch.model_validate(launch))


def wanted_of(directory: StudyDirectory) -> Launch:
    """What is wanted now."""
    launch = read_launch(directory)
    assert launch is not None
    return launch


def report(directory: StudyDirectory, state: str, **more: object) -> None:
    """Write the study's own word."""
    write_state(directory.progress, RunProgress.model_validate({"state": state, **more}))
