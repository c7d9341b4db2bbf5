"""Names of cases and patients as people and spreadsheets write them: which are alike, and which cannot be."""

import re
import unicodedata

LONGEST_NAME = 128
WHOLE_NUMBER = re.compile(r"0*(\d+)(?:[.,]0+)?")


def name_key(name: str) -> str:
    """What names have alike that differ in capitals, blanks, Unicode form, or in zeros that a spreadsheet took or gave.

    "Case 7", "case  7" and "CASE 7" are alike, and so are "001", "1" and "1.0".
    """
    shown = "".join(letter for letter in name if unicodedata.category(letter) != "Cf")
    folded = " ".join(unicodedata.normalize("NFKC", shown).casefold().split())
    number = WHOLE_NUMBER.fullmatch(folded)
    return number[1] if number else unicodedata.normalize("NFKC", folded)


def escape_name(name: str) -> str:
    """A name on one line, in letters that every screen and file can show."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)


def find_in_name(name: str) -> str:
    """Why a case cannot be called so, in words; "" where it can: files and tables are named after it."""
    if not name.isprintable():
        return "letters that cannot be printed"
    if len(name) > LONGEST_NAME:
        return f"{len(name)} letters"
    return "a path" if "/" in name or "\\" in name or name.startswith(".") else ""
