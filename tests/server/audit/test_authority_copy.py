"""What the authority signed is kept beside its key too, where a log that was written anew is found out."""

from pathlib import Path

from server.audit.authority_copy import kept_heads, sign_with_authority
from server.centers.enrolment import Enrolment
from server.study.recorder import Recorder
from tests.support.audited_study import log_lines, write_anew
from tests.support.enrolled_study import COORDINATOR, write_coordinator_directory


def test_the_copy_beside_the_key_outlives_a_log_that_was_cut(tmp_path: Path) -> None:
    authority = str(tmp_path / "root.authority")
    coordinator = COORDINATOR.model_copy(update={"authority": authority})
    directory = write_coordinator_directory(tmp_path / "root", coordinator)
    Recorder(directory).prepare()
    Enrolment(directory).invite("center-a")
    signed, copy = sign_with_authority(directory)
    assert copy.parent == Path(authority)
    write_anew(directory.audit, log_lines(directory.audit)[:1])
    assert kept_heads(directory, ()) == [signed]
    copy.unlink()
    assert kept_heads(directory, ()) == []
