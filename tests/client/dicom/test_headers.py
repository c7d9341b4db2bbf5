"""Headers of many files, in their order, on one process or on several."""

from pathlib import Path

import pytest

from client.dicom import headers
from client.dicom.headers import Passed, read_instances
from client.dicom.series import Instance
from tests.support.dicom_study import MadeStudy, body_phantom, write_ct


@pytest.mark.parametrize("fewest", [1, 1000], ids=["processes", "one"])
def test_every_file_gives_an_instance_or_a_reason_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fewest: int
) -> None:
    monkeypatch.setattr(headers, "FEWEST_FOR_PROCESSES", fewest)
    images = write_ct(tmp_path, MadeStudy(), body_phantom((3, 4, 6))[0])
    (tmp_path / "a.txt").write_text("text")
    images[2].write_bytes(images[2].read_bytes()[:131])
    counted: list[int] = []
    found = list(read_instances([images[0], tmp_path / "a.txt", images[1], images[2]], progress=counted.append))
    assert [type(each) for each in found] == [Instance, Passed, Instance, Passed]
    assert [each.why for each in found if isinstance(each, Passed)] == ["not-dicom", "unreadable"]
    assert counted == [1, 2, 3, 4]
