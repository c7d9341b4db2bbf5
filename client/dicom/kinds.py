"""What a DICOM object is to a case, by its SOP class and image type; everything else is left out by name."""

from dataclasses import dataclass
from typing import Final

from pydicom import config
from pydicom.uid import UID

from client.dicom.series import Instance, Kind

KIND_OF_CLASS: Final[dict[str, Kind]] = {
    "1.2.840.10008.5.1.4.1.1.2": "ct",
    "1.2.840.10008.5.1.4.1.1.2.1": "ct",
    "1.2.840.10008.5.1.4.1.1.2.2": "ct",
    "1.2.840.10008.5.1.4.1.1.128": "pet",
    "1.2.840.10008.5.1.4.1.1.128.1": "pet",
    "1.2.840.10008.5.1.4.1.1.130": "pet",
    "1.2.840.10008.5.1.4.1.1.481.3": "rtstruct",
    "1.2.840.10008.5.1.4.1.1.66.4": "seg",
}
"""CT, enhanced and legacy converted CT; the same of PET; RT structure set; segmentation."""
LEFT_OUT_BY_TYPE: Final = {
    "LOCALIZER": "scout images",
    "SCREEN SAVE": "screenshots",
    "MIP": "projections",
    "MAX_IP": "projections",
    "PROJECTION IMAGE": "projections",
    "DOSE_INFO": "dose pages",
}
"""Values of ImageType that no image of a case has, and what such images are."""
MODALITY_OF_KIND: Final = {"ct": "CT", "pet": "PT"}
USUAL: Final = "nothing to do, unless it was meant to be an image of a case"


@dataclass(frozen=True)
class LeftOut:
    """Why an object is no part of a case: a code, what it is, what to do, and whether it may lie in a series of images.

    usual: whether scanners put such objects into the series of a CT or PET.
    """

    code: str
    what: str
    step: str = USUAL
    usual: bool = False


def classify(instance: Instance) -> Kind | LeftOut:
    """The kind of the object, or why it is left out."""
    kind = KIND_OF_CLASS.get(instance.sop_class_uid)
    if kind is None:
        name = UID(instance.sop_class_uid, config.IGNORE).name if instance.sop_class_uid else ""
        what = f"objects of class '{name}'" if name != instance.sop_class_uid else "objects of an unknown class"
        return LeftOut("not-an-image", what)
    if kind not in MODALITY_OF_KIND:
        return kind
    for value in instance.image_type:
        if value.upper() in LEFT_OUT_BY_TYPE:
            return LeftOut("not-an-image", LEFT_OUT_BY_TYPE[value.upper()], usual=True)
    if instance.modality != MODALITY_OF_KIND[kind]:
        what = f"{kind.upper()} images whose modality is '{instance.modality[:2]}'"
        return LeftOut("modality-contradicts", what, "correct the Modality, or export it again")
    return kind
