"""Which files of images are read, and whether one that is no NIfTI holds as much as its header says.

NIfTI is read against its own header. Readers of other formats fill what is missing, pass over what is too much, or
unpack what is damaged without a word. So NRRD and MetaImage are measured, and checksums of packed ones checked; what
cannot be measured is refused.
"""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from client.data.names import escape_name
from client.data.nifti_values import SUFFIXES, read_nifti_header
from protocol.errors import CaseError
from protocol.storage.regular_files import open_regular

NRRD, METAIMAGE = (".nrrd",), (".mha", ".mhd")
READ = (*SUFFIXES, *NRRD, *METAIMAGE)
LONGEST_HEADER = 1 << 16
CHUNK_BYTES = 1 << 20
WRAPPERS: Mapping[str, int | None] = {"raw": None, "gzip": zlib.MAX_WBITS | 16, "gz": zlib.MAX_WBITS | 16}
"""How NRRD says that its voxels are stored, and what unpacks them; None where nothing is packed."""
SIZES, FLOAT = r"[1-9]\d{0,4}( +[1-9]\d{0,4}){2}", r"-?\d{1,9}(\.\d{0,20})?([eE][-+]?\d{1,2})?"
FORMS: Mapping[str, str] = {
    "ndims": "3",
    "dimension": "3",
    "dimsize": SIZES,
    "sizes": SIZES,
    "elementtype": r"MET_[A-Z_]{1,20}",
    "type": r"[a-z0-9 _]{1,30}",
    "elementnumberofchannels": "1",
    "elementspacing": rf"{FLOAT}( +{FLOAT}){{2}}",
    "offset": rf"{FLOAT}( +{FLOAT}){{2}}",
    "transformmatrix": rf"{FLOAT}( +{FLOAT}){{8}}",
    "spacedirections": rf"(\({FLOAT},{FLOAT},{FLOAT}\) *){{3}}",
    "spaceorigin": rf"\({FLOAT},{FLOAT},{FLOAT}\)",
}
"""What fields of 3D images look like. Readers end the program where some of them are others, such as -1 axes."""
LONGEST_LINE = 1000
FIELD = re.compile(r"([A-Za-z][\w .-]{0,79}?) *[=:]=? *(.*)")
BODY = re.compile(rb"ElementDataFile|\r?\n\r?\n")


@dataclass(frozen=True)
class _Body:
    """Where the voxels of a file are: in which file, from which byte on, and what unpacks them (zlib's `wbits`)."""

    path: Path
    offset: int
    wrapper: int | None


def raise_if_unreadable(path: Path) -> None:
    """Refuse what is no regular file of a format that is read, and a NIfTI header that says what cannot be.

    Raises:
        CaseError: names the file and what is wrong with it.
    """
    if not path.name.lower().endswith(READ):
        raise CaseError(f"image {path} is of a format that is not read; write it as one of {', '.join(READ)}")
    try:
        open_regular(path).close()
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "the file does not exist" if missing else getattr(error, "strerror", None) or str(error)
        raise CaseError(f"image {path} cannot be read: {reason}. Replace it with a readable NIfTI file") from error
    if read_nifti_header(path) is None and (strange := _strange_fields(_head(path))):
        raise CaseError(f"image {path} has a header that cannot be: {'; '.join(strange)}; write it as 3D NIfTI")


def _strange_fields(head: bytes) -> list[str]:
    """Lines of an NRRD or MetaImage header that are no fields, or fields that are not of their form."""
    lines = BODY.split(head, maxsplit=1)[0].decode("latin-1").split("\n")
    return [escape_name(line[:60]) for line in map(str.strip, lines) if not _is_sound(line)]


def _is_sound(line: str) -> bool:
    if len(line) > LONGEST_LINE or not (line.isprintable() and line.isascii()):
        return False
    if not line or line.startswith("#") or re.fullmatch(r"NRRD000\d", line):
        return True
    field = FIELD.fullmatch(line)
    return field is not None and bool(re.fullmatch(FORMS.get(field[1].lower().replace(" ", ""), ".*"), field[2]))


def raise_if_other_size(path: Path, expected: int) -> None:
    """Refuse an NRRD or MetaImage that does not hold just so many bytes of voxels.

    Raises:
        CaseError: it holds others, is packed and damaged, or cannot be measured.
    """
    try:
        body = _find_nrrd(path) if path.name.lower().endswith(NRRD) else _find_metaimage(path)
        found = body.path.stat().st_size - body.offset if body.wrapper is None else _unpack(body, expected)
    except (OSError, ValueError, zlib.error) as error:
        raise CaseError(f"image {path} cannot be measured: {error}; copy it again, or write it as NIfTI") from error
    if found != expected:
        raise CaseError(f"image {path} has {found} bytes of voxels, its header says {expected}; export it again")


def _find_metaimage(path: Path) -> _Body:
    head = _head(path)
    at = head.find(b"ElementDataFile")
    end = head.find(b"\n", at) + 1
    rows = [line.partition("=") for line in head[:end].decode("latin-1").splitlines()]
    fields = {name.strip(): value.strip() for name, _, value in rows}
    name = fields.get("ElementDataFile", "")
    if at < 0 or not end or not name or fields.get("HeaderSize", "0") != "0":
        raise ValueError("its header does not say where its voxels begin")
    wrapper = zlib.MAX_WBITS if fields.get("CompressedData", "False").lower() == "true" else None
    return _Body(path, end, wrapper) if name == "LOCAL" else _Body(path.parent / name, 0, wrapper)


def _find_nrrd(path: Path) -> _Body:
    head = _head(path)
    end = next((head.find(gap) + len(gap) for gap in (b"\r\n\r\n", b"\n\n") if gap in head), 0)
    rows = [line.partition(":") for line in head[:end].decode("latin-1").splitlines()]
    fields = {name.strip().lower().replace(" ", ""): value.strip().lower() for name, _, value in rows}
    encoding = fields.get("encoding", "")
    if not end or encoding not in WRAPPERS or not {"datafile", "byteskip", "lineskip"}.isdisjoint(fields):
        raise ValueError(f"encoding '{encoding}', expected raw or gzip within the file")
    return _Body(path, end, WRAPPERS[encoding])


def _head(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read(LONGEST_HEADER)


def _unpack(body: _Body, most: int) -> int:
    """How many bytes a packed body has, counted to just above `most`.

    Raises:
        ValueError, zlib.error: it is damaged, ends early, or something follows it.
    """
    unpacking, count = zlib.decompressobj(body.wrapper or 0), 0
    with open_regular(body.path) as file:
        file.seek(body.offset)
        while count <= most and not unpacking.eof and (chunk := file.read(CHUNK_BYTES)):
            while chunk and count <= most:
                count += len(unpacking.decompress(chunk, CHUNK_BYTES))
                chunk = unpacking.unconsumed_tail
        rest = unpacking.unused_data + file.read(1)
    if count <= most and (not unpacking.eof or rest.strip(b"\0")):
        raise ValueError("its packed voxels end early, or something follows them")
    return count
