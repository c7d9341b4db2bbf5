"""Names of cases and patients as people and spreadsheets write them: which are alike, and which cannot be."""

import contextlib
import re
import unicodedata
from decimal import Decimal

LONGEST_NAME = 128
MINUS = "\u2212"
LOOK_LATIN = str.maketrans(
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"
    "\u0405\u0406\u0408\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425",
    "ABEZHIKMNOPTYXSIJABEKMHOPCTX",
)
"""Capitals of Greek and Cyrillic, to Latin ones that are drawn alike."""
EXPONENT = re.compile(r"\d(?:[.,]\d+)?e\+?\d{1,2}")
BETWEEN = re.compile(r"[-_ ]+")
QUOTES = frozenset("'\"`\u00b4\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb")
ZEROS_BEFORE = re.compile(r"(?<!\d)0+(?=\d)")
WHOLE_NUMBER = re.compile(r"0*(\d+)(?:[.,]0+)?")


def name_key(name: str) -> str:
    """What names have alike that differ in capitals, blanks, dashes, Unicode form, or in zeros of a spreadsheet.

    "Case 7", "case  7" and "CASE 7" are alike, and so are "001", "1" and "1.0", or "P-1" with whatever dash.
    """
    shown = "".join(letter for letter in name if unicodedata.category(letter) != "Cf")
    dashed = "".join(map(_plain_dash, unicodedata.normalize("NFKC", shown)))
    folded = " ".join(dashed.casefold().split())
    number = WHOLE_NUMBER.fullmatch(folded)
    return number[1] if number else unicodedata.normalize("NFKC", folded)


def look_alike_key(name: str) -> str:
    """What names have alike that one might read, or a program write, for another: no proof that they are the same.

    Beside what `name_key` folds these are zeros before digits, quotes, blanks for dashes or underscores, letters of
    Greek and Cyrillic that look Latin, and numbers with an exponent: "P01" and "P1", "1E+05" and "100000".
    """
    key = name_key(name).upper().translate(LOOK_LATIN).casefold()
    if written := EXPONENT.fullmatch(key):
        with contextlib.suppress(ArithmeticError):
            key = format(Decimal(written[0].replace(",", ".")).normalize(), "f")
    return ZEROS_BEFORE.sub("", BETWEEN.sub("-", "".join(letter for letter in key if letter not in QUOTES)))


def _plain_dash(letter: str) -> str:
    return "-" if unicodedata.category(letter) == "Pd" or letter == MINUS else letter


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
