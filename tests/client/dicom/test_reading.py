"""One way into DICOM files and one way out where they are damaged; nothing is warned of, nothing is left changed."""

import warnings
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from client.dicom.findings import NotDicomError, UnreadableFileError
from client.dicom.reading import read_elements, read_header, read_image, read_object, read_object_but
from tests.support.dicom_study import MadeStudy, body_phantom, square, write_ct, write_rtstruct


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_ct(tmp_path, MadeStudy(), body_phantom((1, 4, 6))[0])[0]


def test_header_object_elements_and_image_differ_in_what_they_read(image: Path) -> None:
    assert "PixelData" not in read_header(image)
    assert len(read_object(image).PixelData) == 48
    text = "SpecificCharacterSet"
    assert [element.keyword for element in read_elements(image, ["Rows", "Modality"])] == [text, "Modality", "Rows"]
    assert [element.keyword for element in read_image(image, ["Rows"])] == [text, "Rows", "PixelData"]


def test_whole_private_groups_are_kept_beside_the_named_elements(image: Path) -> None:
    data = dcmread(image)
    data.private_block(0x7053, "Maker", create=True).add_new(0x00, "DS", "0.5")
    data.private_block(0x7055, "Maker", create=True).add_new(0x00, "DS", "0.5")
    data.save_as(image)
    kept = read_image(image, ["Rows"], (0x7053,))
    assert [tag.group for tag in kept.keys() if tag.is_private] == [0x7053, 0x7053]  # noqa: SIM118 - tags


def test_one_element_may_stay_as_bytes(tmp_path: Path, image: Path) -> None:
    points = [[0.0, 0.0, 0.0], [1.5, 0.0, 0.0], [1.0, 1.0, 0.0]]
    path = write_rtstruct(tmp_path / "rs.dcm", MadeStudy(), [image], {"GTV": [points]})
    (roi,) = read_object_but(path, "ContourData").ROIContourSequence
    assert float(roi.ROIDisplayColor[0]) == 255
    assert roi.ContourSequence[0].get_item("ContourData").value.startswith(b"0.000000\\0.000000\\0.000000\\1.500000")


def test_files_without_preamble_are_read(image: Path) -> None:
    data = dcmread(image)
    bare = Dataset(dict(data.items()))
    bare.save_as(image, implicit_vr=True, little_endian=True)
    assert image.read_bytes().startswith(b"\x08\x00")
    assert read_header(image).SOPInstanceUID == data.SOPInstanceUID
    assert read_image(image, ["Rows"]).PixelData == data.PixelData
    assert dcmread(image, force=True).file_meta.get("TransferSyntaxUID", "") in {"", ImplicitVRLittleEndian}


@pytest.mark.parametrize("content", [b"PK\x03\x04" + bytes(200), b"\x89PNG", b"text", b"\x08\x00" + bytes(300)])
def test_other_files_are_not_dicom(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(NotDicomError):
        read_header(tmp_path / "file")


def test_empty_missing_and_cut_files_are_unreadable_by_a_message_without_their_names(image: Path) -> None:
    whole = image.read_bytes()
    for content in (b"", bytes(100), whole[:131], whole[:500], whole[:-1], whole[:128] + b"DIKM" + whole[132:]):
        image.write_bytes(content)
        with pytest.raises(UnreadableFileError) as told:
            read_object(image)
        assert not isinstance(told.value, NotDicomError)
        assert told.value.source == str(image)
        assert image.name not in str(told.value)
    with pytest.raises(UnreadableFileError, match="No such file"):
        read_header(image.parent / "missing")


def test_a_value_that_cannot_be_converted_counts_as_missing(image: Path) -> None:
    content = image.read_bytes()
    at = content.find(b"\x18\x00\x50\x00DS")
    image.write_bytes(content[: at + 8] + b"x" + content[at + 9 :])
    header = read_header(image)
    assert "SliceThickness" not in header
    assert header.Rows == 4


@pytest.mark.parametrize("at", [0, 4], ids=["tag", "length"])
def test_a_sequence_with_a_damaged_item_makes_the_file_unreadable(tmp_path: Path, at: int) -> None:
    """pydicom would end the sequence there, and contours would be fewer without a word."""
    study = MadeStudy()
    images = write_ct(tmp_path / "ct", study, body_phantom((1, 4, 6))[0])
    contours = [square((0, 0), 3, z) for z in (0.0, 3.0, 6.0)]
    path = write_rtstruct(tmp_path / "rs", study, images, {"GTV": contours})
    content = bytearray(path.read_bytes())
    item = content.rfind(b"\xfe\xff\x00\xe0", 0, content.rfind(b"\x06\x30\x50\x00"))
    content[item + at] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError):
        read_header(path)


def test_strange_values_are_read_without_a_warning_and_the_filters_stay(image: Path) -> None:
    """Warnings are errors in tests; pydicom warns of a UID like this."""
    content = image.read_bytes()
    image.write_bytes(content.replace(b"1.2.840.10008.5.1.4.1.1.2", b"1.2.840.10008.5.1.4.1.1.*"))
    before = list(warnings.filters)
    assert read_header(image).SOPClassUID.endswith("*")
    assert list(warnings.filters) == before
