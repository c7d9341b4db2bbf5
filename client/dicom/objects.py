"""From the header of one DICOM object to its instance: who it belongs to, what it is, and where its planes lie."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset

from client.dicom.frames import PLANE_KEYWORDS, items, read_planes
from client.dicom.reading import read_elements
from client.dicom.series import Instance

KEYWORDS: Final = (
    *PLANE_KEYWORDS,
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "Modality",
    "FrameOfReferenceUID",
    "ImageType",
    "AcquisitionDateTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "SeriesDate",
    "SeriesTime",
    "StudyDate",
    "StudyTime",
    "AcquisitionNumber",
    "ConvolutionKernel",
    "CorrectedImage",
    "AttenuationCorrected",
    "NumberOfFrames",
    "ReferencedFrameOfReferenceSequence",
    "ReferencedSeriesSequence",
)


def read_instance(path: Path) -> Instance:
    """What the index keeps of the object in `path`; what the header does not have is empty.

    Raises:
        UnreadableFileError: as `read_elements`.
    """
    header = read_elements(path, KEYWORDS)
    return Instance(
        path=path,
        patient_id=_text(header, "PatientID"),
        study_uid=_text(header, "StudyInstanceUID"),
        series_uid=_text(header, "SeriesInstanceUID"),
        sop_uid=_text(header, "SOPInstanceUID"),
        sop_class_uid=_text(header, "SOPClassUID") or _text(header.file_meta, "MediaStorageSOPClassUID"),
        modality=_text(header, "Modality"),
        frame_of_reference_uid=_frame_of_reference(header),
        acquired=_moment(header),
        referenced=tuple(dict.fromkeys(_references(header))),
        frames=_frames(header),
        planes=read_planes(header),
        image_type=_texts(header, "ImageType"),
        reconstruction=_texts(header, "ConvolutionKernel"),
        acquisition=_text(header, "AcquisitionNumber"),
        corrections=_corrections(header),
    )


def _text(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    return "" if value is None else str(value).strip()


def _texts(header: Dataset, keyword: str) -> tuple[str, ...]:
    value = header.get(keyword)
    if value is None or isinstance(value, str):
        return (value.strip(),) if value else ()
    return tuple(str(part).strip() for part in value)


def _frame_of_reference(header: Dataset) -> str:
    """That of the object, or the first that an RTSTRUCT refers to; many write it there alone."""
    references = items(header, "ReferencedFrameOfReferenceSequence")
    return next(filter(None, (_text(each, "FrameOfReferenceUID") for each in (header, *references))), "")


def _frames(header: Dataset) -> int:
    text = _text(header, "NumberOfFrames")
    return int(text) if text.isdigit() and int(text) > 0 else 1


def _moment(header: Dataset) -> str:
    """When the image was acquired, or its series or study as far as that is known."""
    both = _text(header, "AcquisitionDateTime")
    if both:
        return both
    for name in ("Acquisition", "Series", "Study"):
        date, time = _text(header, f"{name}Date"), _text(header, f"{name}Time")
        if date and time:
            return date + time
    return ""


def _corrections(header: Dataset) -> tuple[str, ...]:
    """CorrectedImage; of an enhanced PET, which says it by a word, as CorrectedImage would."""
    said = _texts(header, "CorrectedImage")
    return said or (("ATTN",) if _text(header, "AttenuationCorrected") == "YES" else ())


def _references(header: Dataset) -> Iterator[str]:
    """The series that an RTSTRUCT or a SEG was drawn on."""
    for frame in items(header, "ReferencedFrameOfReferenceSequence"):
        for study in items(frame, "RTReferencedStudySequence"):
            for series in items(study, "RTReferencedSeriesSequence"):
                yield _text(series, "SeriesInstanceUID")
    for series in items(header, "ReferencedSeriesSequence"):
        yield _text(series, "SeriesInstanceUID")
