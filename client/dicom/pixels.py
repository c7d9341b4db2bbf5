"""Stored pixel values of one object, whole or not at all.

Uncompressed pixels are taken as they lie in the file that was opened for its tags anyway. Compressed ones are decoded
by SimpleITK from a file that has the pixels alone: no rescale can be applied on the way, and no tag can lead it astray.
"""

import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.uid import UID, MultiFrameGrayscaleWordSecondaryCaptureImageStorage, generate_uid

from client.dicom.findings import UnreadableFileError

DESCRIBING = (
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
)
KEYWORDS = (*DESCRIBING, "NumberOfFrames")
"""What `stored_frames` reads beside the pixels."""
BITS = (8, 16, 32)


def stored_frames(data: Dataset, source: Path) -> NDArray[np.integer]:
    """The stored values of all frames, (frames, y, x), as integers; before any rescale.

    Raises:
        UnreadableFileError: pixels are missing, cut short, longer than stated, in color, or cannot be decoded.
    """
    missing = [keyword for keyword in (*DESCRIBING, "PixelData") if data.get(keyword) in (None, "", b"")]
    if missing:
        raise _damage(f"an image without {missing[0]}", source)
    if int(data.SamplesPerPixel) != 1 or int(data.BitsAllocated) not in BITS:
        found = f"an image with {data.SamplesPerPixel} sample(s) of {data.BitsAllocated} bits a pixel"
        raise _damage(f"{found}, expected one of 8, 16 or 32", source)
    syntax = data.file_meta.get("TransferSyntaxUID") if "file_meta" in data.__dict__ else None
    compressed = syntax is not None and UID(syntax).is_compressed and not UID(syntax).is_deflated
    frames = int(data.get("NumberOfFrames") or 1)
    stored = _decode(data, frames, source) if compressed else _native(data, frames, source)
    return _within_bits(stored, int(data.BitsAllocated), int(data.BitsStored), int(data.HighBit), source)


def _native(data: Dataset, frames: int, source: Path) -> NDArray[np.integer]:
    little = data.original_encoding[1] is not False
    kind = f"{'<' if little else '>'}{'i' if int(data.PixelRepresentation) else 'u'}{int(data.BitsAllocated) // 8}"
    shape = (frames, int(data.Rows), int(data.Columns))
    expected = int(np.prod(shape)) * np.dtype(kind).itemsize
    if len(data.PixelData) != expected + expected % 2:
        raise _damage(f"pixels of {len(data.PixelData)} bytes, expected {expected}", source)
    return np.frombuffer(data.PixelData, kind, count=int(np.prod(shape))).reshape(shape)


def _decode(data: Dataset, frames: int, source: Path) -> NDArray[np.integer]:
    shape = (frames, int(data.Rows), int(data.Columns))
    try:
        fragments = sum(1 for _ in generate_frames(data.PixelData, number_of_frames=frames))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "pixels.dcm")
            _pixels_alone(data, frames).save_as(path, enforce_file_format=True)
            stored = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    except (RuntimeError, ValueError, TypeError, AttributeError, EOFError) as error:
        name = UID(data.file_meta.TransferSyntaxUID).name
        raise _damage(f"compressed pixels ({name}) that cannot be decoded", source) from error
    if fragments != frames or stored.shape != shape or stored.dtype.kind not in "iu":
        raise _damage(f"{fragments} compressed frame(s) of shape {stored.shape}, expected {shape}", source)
    return stored


def _pixels_alone(data: Dataset, frames: int) -> Dataset:
    alone = Dataset()
    alone.file_meta = FileMetaDataset()
    alone.file_meta.TransferSyntaxUID = data.file_meta.TransferSyntaxUID
    alone.SOPClassUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    alone.SOPInstanceUID = generate_uid()
    alone.file_meta.MediaStorageSOPClassUID = alone.SOPClassUID
    alone.file_meta.MediaStorageSOPInstanceUID = alone.SOPInstanceUID
    for keyword in DESCRIBING:
        setattr(alone, keyword, data.get(keyword))
    alone.NumberOfFrames = frames
    alone.add(data["PixelData"])
    return alone


def _within_bits(
    stored: NDArray[np.integer], allocated: int, bits: int, high: int, source: Path
) -> NDArray[np.integer]:
    """The values without what else is kept in unused bits, such as overlays of old."""
    if not 0 < bits <= allocated or high != bits - 1:
        raise _damage(f"{bits} bits stored up to bit {high} of {allocated}, expected them to begin at bit 0", source)
    unused = stored.dtype.itemsize * 8 - bits
    if not unused:
        return stored
    return np.right_shift(np.left_shift(stored, unused), unused)


def _damage(found: str, source: Path) -> UnreadableFileError:
    return UnreadableFileError(found, str(source))
