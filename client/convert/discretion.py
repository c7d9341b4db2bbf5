"""What a message may say outside of the private folder: nothing that names a patient, a date, a UID or a source.

Readers write their messages without any of these; this is the second lock, since a library's own words may hold a path,
and the name of a contour whatever somebody typed. What stands in 'quotes' and the name of a contour are judged by every
word of the patient; the rest of a message by those that are no words of our own sentences, so that a patient named Case
or Price costs no message.

A word is a run of letters or digits; two characters make one, and one does where a script writes without spaces. Of
names, capitals and accents do not count (ü is u or ue), and four characters count inside of a longer word too.
"""

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from client.convert.vocabulary import OWN_WORDS
from client.data.checks import Issue

SHORTEST_WORD, SHORTEST_PART, SHORTEST_NUMBER = 2, 4, 4
WITHHELD = "(withheld)"
WORD = re.compile(r"[^\W_]+")
PIECE = re.compile(r"\d+|[^\W\d_]+")
HUMP = re.compile(r"(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])")
QUOTED = re.compile(r"'[^']*'")
CASE_ID = re.compile(r"'?\bcase-[a-z2-7]{12}\b'?")
TAG = re.compile(r"\([0-9a-f]{4},[0-9a-f]{4}\)", re.IGNORECASE)
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
UMLAUTS = {ord("ä"): "ae", ord("ö"): "oe", ord("ü"): "ue", ord("å"): "aa", ord("ø"): "oe", ord("æ"): "ae"}
BIRTH_DATE = re.compile(r"(?P<century>19|20)(?P<year>\d\d)(?P<month>\d\d)(?P<day>\d\d)")
DATE_ORDERS = (("day", "month", "year"), ("month", "day", "year"), ("year", "month", "day"))
MONTH = "(?:jan|feb|mar|mär|maer|apr|may|mai|jun|jul|aug|sep|sept|oct|okt|nov|dec|dez)"
MONTH_REST = "(?:uary|ruary|uar|ruar|ch|z|il|e|i|y|ust|tember|ober|ember)?"
UID_OR_DATE = re.compile(
    r"\d+(?:\.\d+){5,}"
    r"|(?<!\d)(?:19|20)\d{6}(?!\d)"
    r"|(?<!\d)(?:19|20)\d\d([-./_ ])\d{1,2}\1\d{1,2}(?!\d)"
    r"|(?<![\d.])\d{1,2}(?:([-./_])\d{1,2}\2|\. ?\d{1,2}\. ?)(?:(?:19|20)\d\d|\d\d)(?!\.?\d)"
    r"|(?<![\d.])\d{1,2} \d{1,2} (?:19|20)\d\d(?!\.?\d)"
    rf"|(?<!\d)\d{{1,2}}[-. _]*{MONTH}{MONTH_REST}[-., _]*(?:(?:19|20)\d\d|\d\d)(?!\d)",
    re.IGNORECASE,
)
CONTOUR_WORDS = frozenset(("gtv", "ctv", "itv", "ptv", "ct", "pet", "pt", "mr", "mri", "suv", "tumor", "tumour", "roi"))
"""Words of a contour's name that say nothing of whose it is; an institution's name may hold them."""


def private_words(names: Iterable[str], files: Iterable[Path]) -> tuple[str, ...]:
    """What may not leave: words of names, ids and dates in every usual form, and the folders of the source's files."""
    words = {form for name in names for word in _written(name) for form in _forms(word)}
    kept = {word for word in words - CONTOUR_WORDS if len(word) >= SHORTEST_WORD or UNSPACED.search(word)}
    folders = {str(file.parent) for file in files}
    return tuple(sorted(kept | {folder for folder in folders if len(folder) >= SHORTEST_PART}))


def withhold(issue: Issue, words: Sequence[str]) -> Issue:
    """The issue without source; where its words name what may not leave, they point to the private folder instead."""
    if is_discreet(f"{issue.message} {issue.file} {issue.remedy}", words):
        return replace(issue, source="")
    step = "read its words in issues.json of the private folder"
    message = f"case '{issue.case}': found {issue.code}; {step}" if issue.case else f"found {issue.code}; {step}"
    return Issue(issue.code, issue.case, message, issue.grade, remedy=step)


def withhold_name(name: str, words: Sequence[str]) -> str:
    """The name of a contour, unless it names what may not leave."""
    return WITHHELD if _is_dated(name) or _names(name, words) else name


def is_discreet(text: str, words: Sequence[str]) -> bool:
    """Whether a message holds neither a UID or date nor any of the words."""
    if _is_dated(text) or any(word in text for word in words if "/" in word):
        return False
    text = TAG.sub(" ", CASE_ID.sub(" ", text))
    written = [part for word in WORD.findall(QUOTED.sub(" ", text)) for part in HUMP.split(word)]
    foreign = " ".join(word for word in written if not _is_own(word))
    return not _names(" ".join((*QUOTED.findall(text), foreign)), words)


def _is_dated(text: str) -> bool:
    return UID_OR_DATE.search(text) is not None


def _is_own(word: str) -> bool:
    """Whether a word is one of our sentences, or a short number, which is a figure."""
    return word.casefold() in OWN_WORDS or (word.isdigit() and len(word) < SHORTEST_NUMBER)


def _names(text: str, words: Sequence[str]) -> bool:
    """Whether a text has one of the words: as a word of its own, or inside of one if it is long or has no spaces."""
    own = {form for word in _written(text) for form in _forms(word)}
    joined = " ".join(own)
    return bool(own) and any(
        word in own or ((len(word) >= SHORTEST_PART or UNSPACED.search(word)) and word in joined) for word in words
    )


def _written(text: str) -> Iterator[str]:
    """The words of a text, and what they are put together of: "GTVKim77" has Kim and 77 in it."""
    for word in WORD.findall(unicodedata.normalize("NFKC", text)):
        pieces = [part for piece in PIECE.findall(word) for part in HUMP.split(piece)]
        yield from (word, *pieces, *itertools.chain.from_iterable(_capitals(part) for part in pieces))
        yield from _dates(word)


def _capitals(piece: str) -> tuple[str, ...]:
    """Capitals before a name, as in "GTVKim", and the name."""
    match = re.fullmatch(r"([A-Z]+)([A-Z][a-z]+)", piece)
    return match.groups() if match else ()


def _dates(word: str) -> Iterator[str]:
    """A date of a header as it is written without signs between."""
    match = BIRTH_DATE.fullmatch(word)
    if match:
        parts = match.groupdict()
        for order in DATE_ORDERS:
            yield "".join(parts[part] for part in order)


def _forms(word: str) -> Iterator[str]:
    """A word without capitals, and without its accents in the two usual ways."""
    folded = word.casefold()
    yield folded
    yield "".join(sign for sign in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(sign))
    yield folded.translate(UMLAUTS)
