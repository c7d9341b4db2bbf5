"""Images of a scan that cannot be used: nothing is answered without one that the scan has, unless it was asked for.

A prediction from a PET alone looks like any other in the PACS. Where the study has a CT that was refused, or values of
an image are such as `check` refuses, the scan is refused with the reason; a setting without that image is the way on.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Final

from client.convert.contract import subject_of
from client.data.checks import Issue, voxel_issues
from client.data.volume import Volume
from client.predict.contract import Scan
from protocol.errors import CaseError
from protocol.modalities import ModalitySetting, parts_of

LEFT_OUT: Final = ("copies-differ", "series-mixed")
"""Findings that leave a series out of its study before the study is read; their source begins with its UID."""


def refuse_left_out(scan: Scan, about_archive: Iterable[Issue], wanted: ModalitySetting | None) -> None:
    """Refuse a scan of one image alone whose study has a series that was left out, unless a setting is asked for.

    Raises:
        CaseError: so it is; the message says why the series was left out.
    """
    study = scan.origins.get("study_uid")
    told = [each.message for each in about_archive if each.code in LEFT_OUT and each.source.startswith(f"{study}: ")]
    if wanted is None and told and len(scan.images) == 1:
        (there,) = scan.images
        raise CaseError(
            f"case '{scan.case}' has a {there.upper()} alone, since a series of its study was left out; correct that, "
            f"or predict what is there: --modalities {there}. {'; '.join(told)}"
        )


def leave_out_lost(scan: Scan, expected: Collection[str], wanted: ModalitySetting | None) -> Scan:
    """The scan without images whose values cannot be what they should.

    Args:
        scan: as it was read.
        expected: the images that its source has.
        wanted: the setting to predict under; every image is needed where None.

    Raises:
        CaseError: an image that is needed cannot be used; the message says why.
    """
    subject, reasons = subject_of(scan.case), dict[str, list[str]]()
    images: dict[str, Volume] = dict(scan.images.items())
    for name in expected:
        file = f"{name}.nii.gz"
        if name in images:
            reasons[name] = [each.message for each in voxel_issues(subject, file, images[name]) if each.fatal]
        else:
            reasons[name] = [each.message for each in scan.issues if each.file == file and each.grade != "note"]
            reasons[name] = reasons[name] or [f"no {name.upper()} could be read of its series"]
    lost = {name: told for name, told in reasons.items() if told}
    if needed := [name for name in lost if wanted is None or name in parts_of(wanted)]:
        raise CaseError(_refuse(scan.case, needed, lost, expected))
    return replace(scan, **dict.fromkeys(lost))  # type: ignore[arg-type]


def _refuse(case: str, needed: list[str], lost: dict[str, list[str]], expected: Collection[str]) -> str:
    rest = [name for name in expected if name not in lost]
    way_on = f", or predict without it: --modalities {'+'.join(rest)}" if rest else ""
    names, told = (
        " and ".join(name.upper() for name in needed),
        "; ".join(each for name in needed for each in lost[name]),
    )
    return f"case '{case}' has a {names} that cannot be used; correct that{way_on}. {told}"
