"""Why a PACS did not store an object: the status of a C-STORE, the failure reason of a STOW-RS.

Source: DICOM PS3.4 table B.2-1, PS3.18 table I.2-2, PS3.7 annex C.
"""

REASONS = {
    0x0110: "processing failure",
    0x0111: "it has this object already",
    0x0112: "it knows no such object",
    0x0117: "the UID of the object is not valid",
    0x0122: "it does not store objects of this class (SOP class not supported)",
    0x0124: "it does not let this center store (not authorised)",
    0x0212: "it does not understand the request (mistyped argument)",
    0xC122: "it does not store this transfer syntax",
}
RANGES = {0xA7: "it has no room or no resources", 0xA9: "the object does not match its SOP class"}
HIGH_BYTE = 8
ASK = "ask the PACS' administrator to let it in, then store again"


def refusal(status: int | None) -> str:
    """Why, in words, and what to do."""
    if status is None:
        return f"not stored, without a reason; {ASK}"
    reason = REASONS.get(status) or RANGES.get(status >> HIGH_BYTE, "cannot understand or process it")
    return f"not stored: {reason} (status 0x{status:04X}); {ASK}"
