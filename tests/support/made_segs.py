"""Made DICOM SEG objects of any kind over the images of a made study."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian


def write_segments(
    path: Path,
    drawn_on: Sequence[Path],
    regions: dict[str, NDArray[Any]],
    *,
    kind: str = "BINARY",
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
    content_time: str = "100000",
    omit_empty_frames: bool = True,
) -> Path:
    """Segments by label, each (z, y, x) over the images in the order of `drawn_on`; of two a labelmap has the last."""
    import highdicom as hd

    stack = np.stack(list(regions.values()), axis=-1)
    if kind == "LABELMAP":
        stack = np.max(stack * np.arange(1, stack.shape[-1] + 1), axis=-1)
    source = [dcmread(image) for image in drawn_on]
    seg = hd.seg.Segmentation(
        source_images=source,
        pixel_array=stack.astype(np.float32 if kind == "FRACTIONAL" else np.uint8),
        segmentation_type=kind,
        segment_descriptions=[_describe(number, label) for number, label in enumerate(regions, start=1)],
        series_instance_uid=hd.UID(),
        series_number=1,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="made",
        manufacturer_model_name="made",
        software_versions="1",
        device_serial_number="1",
        transfer_syntax_uid=transfer_syntax_uid,
        omit_empty_frames=omit_empty_frames,
    )
    seg.add_new("ContentDate", "DA", "20200301")
    seg.add_new("ContentTime", "TM", content_time)
    seg.save_as(path)
    return path


def _describe(number: int, label: str) -> Any:
    import highdicom as hd

    kind = codes.SCT.MorphologicallyAbnormalStructure
    by = hd.seg.SegmentAlgorithmTypeValues.MANUAL
    return hd.seg.SegmentDescription(number, label, kind, codes.SCT.Neoplasm, by)
