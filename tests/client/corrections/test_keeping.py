"""A corrected mask as the label of its case."""

import shutil
from dataclasses import replace

import pytest

from client.convert.case_folder import fits
from client.convert.resumption import read_done
from client.corrections.keeping import find_case, keep_label
from client.data.conversion_file import read_conversion
from protocol.errors import CaseError
from tests.support.corrected_study import Corrected, convert_export, shift


def test_a_case_is_found_by_study_and_series(made: Corrected):
    (origin,) = made.private.read_origins().values()
    ct, pet = str(origin.origins["ct_series_uid"]), str(origin.origins["pet_series_uid"])
    assert find_case(made.private, made.study.study_uid, [ct]) == made.case
    assert find_case(made.private, made.study.study_uid, [pet, ct]) == made.case
    assert find_case(made.private, made.study.study_uid, ["9.9"]) == ""
    assert find_case(made.private, "9.9", [ct]) == ""


def test_a_label_that_was_there_stays_in_the_private_folder(study: Corrected):
    first, second = study.predicted, replace(study.predicted, array_zyx=shift(study.predicted.array_zyx))
    kept = [keep_label(study.case, mask, ("GTV",), study.dest, study.private) for mask in (first, second, first)]
    assert [each.before for each in kept] == ["", f"labels/{study.case}/1.nii.gz", f"labels/{study.case}/2.nii.gz"]
    assert (study.label.array_zyx == first.array_zyx).all()
    before = study.private.path / kept[2].before
    assert before.stat().st_mode & 0o777 == 0o600
    record = read_conversion(study.dest / study.case)
    assert record is not None
    assert (record.contours_from, record.rois) == ("correction", ("GTV",))
    made = read_done(study.private.state)[study.case]
    assert fits(study.dest / study.case, made.checksums), "the next conversion finds the case as it was left"


def test_a_mask_on_another_grid_is_refused_and_nothing_changes(study: Corrected):
    moved = replace(study.predicted, origin_xyz_mm=(0.0, 0.0, 500.0))
    with pytest.raises(CaseError, match="another grid"):
        keep_label(study.case, moved, (), study.dest, study.private)
    assert not (study.dest / study.case / "gtv.nii.gz").exists()


def test_the_next_conversion_leaves_the_label_as_it_is(study: Corrected):
    """Once by what it made, once by what somebody corrected, when the source changed since."""
    keep_label(study.case, study.predicted, ("GTV",), study.dest, study.private)
    for changed in (False, True):
        if changed:
            shutil.copy(study.source / "ct-0000.dcm", study.source / "again.dcm")
        convert_export(study.source, study.dest)
        assert (study.label.array_zyx == study.predicted.array_zyx).all()
        record = read_conversion(study.dest / study.case)
        assert record is not None
        assert record.contours_from == "correction"
