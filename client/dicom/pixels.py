"""Stored pixel values of one object, whole or not at all.

Uncompressed pixels are taken as they lie in the file that was opened for its tags anyway. Compressed ones are decoded
by SimpleITK (RLE by pydicom) from a file that has the pixels alone: no rescale can be applied on the way, and no other
tag can lead it astray.
"""

import struct
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import config
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    RLELossless,
    generate_uid,
)

from client.dicom.findings import UnreadableFileError

NUMBERS = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel")
DESCRIBING = (*NUMBERS, "PhotometricInterpretation")
KEYWORDS = (*DESCRIBING, "NumberOfFrames")
"""What `stored_frames` reads beside the pixels."""
NATIVE = {
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
}
LOSSY = {JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless}
"""Transfer syntaxes that lose values always; JPEG 2000 may, and says so by a tag."""
FORMAT = ("BitsAllocated", "BitsStored", "PixelRepresentation")
BITS = (8, 16, 32)
END_OF_IMAGE = b"\xff\xd9"
"""Of JPEG and JPEG-LS; JPEG 2000 ends its codestream alike."""
RLE_SEGMENTS, RLE_RUN = 15, 128
"""A packet above 128 repeats the next byte 257 - packet times, below it takes packet + 1 bytes as they are."""


def stored_frames(data: Dataset, source: Path) -> NDArray[np.integer]:
    """The stored values of all frames, (frames, y, x), as integers; before any rescale.

    Raises:
        UnreadableFileError: pixels are missing, cut short, longer than stated, in color, or cannot be decoded.
    """
    missing = [keyword for keyword in NUMBERS if not isinstance(data.get(keyword), int)]
    if missing or not isinstance(data.get("PixelData"), bytes):
        raise _damage(f"an image without {(*missing, 'PixelData')[0]}", source)
    if int(data.SamplesPerPixel) != 1 or int(data.BitsAllocated) not in BITS:
        found = f"an image with {data.SamplesPerPixel} sample(s) of {data.BitsAllocated} bits a pixel"
        raise _damage(f"{found}, expected one of 8, 16 or 32", source)
    compressed = str(_syntax(data)) not in NATIVE
    frames = int(data.NumberOfFrames) if isinstance(data.get("NumberOfFrames"), int) else 1
    stored = _decode(data, frames, source) if compressed else _native(data, frames, source)
    return _within_bits(stored, int(data.BitsAllocated), int(data.BitsStored), int(data.HighBit), source)


def _syntax(data: Dataset) -> UID:
    """The transfer syntax; of a dataset without, the one that pydicom reads it by."""
    meta = getattr(data, "file_meta", Dataset())
    return UID(str(meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)), config.IGNORE)


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
        streams = list(generate_frames(data.PixelData, number_of_frames=frames))
        _refuse_cut_short(streams, _syntax(data), shape)
        alone = _pixels_alone(data, frames)
        stored = _decode_by_pydicom(alone) if _syntax(data) == RLELossless else _decode_by_itk(alone)
    except (RuntimeError, ValueError, TypeError, AttributeError, EOFError, struct.error, IndexError) as error:
        name = _syntax(data).name
        raise _damage(f"compressed pixels ({name}) that cannot be decoded", source) from error
    stored = stored.reshape((-1, *stored.shape[-2:]))
    if len(streams) != frames or stored.shape != shape or stored.dtype.kind not in "iu":
        raise _damage(f"{len(streams)} compressed frame(s) of shape {stored.shape}, expected {shape}", source)
    return stored


def _decode_by_itk(alone: Dataset) -> NDArray[Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pixels.dcm")
        alone.save_as(path, enforce_file_format=True)
        return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))


def _decode_by_pydicom(alone: Dataset) -> NDArray[Any]:
    """RLE, of which ITK refuses some whole images of odd size, and takes ten times as long for the others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pixel_array(alone, raw=True, decoding_plugin="pydicom")


def _refuse_cut_short(streams: Sequence[bytes], syntax: UID, shape: tuple[int, int, int]) -> None:
    """Decoders fill up what is missing at the end; a stream must have its end."""
    for stream in streams:
        if syntax == RLELossless:
            whole = all(_is_whole(segment, shape[1] * shape[2]) for segment in _rle_segments(stream))
        else:
            whole = stream.rstrip(b"\0").endswith(END_OF_IMAGE)
        if not whole:
            raise EOFError("a compressed frame that ends early")


def _rle_segments(stream: bytes) -> Iterator[bytes]:
    """The segments of a frame, one for each byte of a pixel (PS3.5 annex G)."""
    count, *offsets = struct.unpack("<16L", stream[:64])
    if not 0 < count <= RLE_SEGMENTS:
        raise ValueError(f"{count} segments")
    for start, end in zip(offsets[:count], [*offsets[1:count], len(stream)], strict=True):
        yield stream[start:end]


def _is_whole(segment: bytes, expected: int) -> bool:
    """Whether a segment decodes to that many bytes; what follows them is padding."""
    at, length = 0, 0
    while at < len(segment) and length < expected:
        packet = segment[at]
        run, literal = packet > RLE_RUN, packet < RLE_RUN
        length += 257 - packet if run else packet + 1 if literal else 0
        at += 2 if run else packet + 2 if literal else 1
    return length >= expected and at <= len(segment)


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
