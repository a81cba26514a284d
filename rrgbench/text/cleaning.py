"""Named steps that prepare report text before it is compared. A protocol lists the steps that both texts go through.

Every step takes any text and never raises. All but ``r2gen-mimic`` and ``r2gen-iu`` are idempotent; those two repeat
what R2Gen's own code does, its slips included, so that its scores can be repeated. A step's version is raised whenever
its output changes: ``digest_of`` is part of the signature of each score.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from rrgbench.cache import digest
from rrgbench.errors import UsageError, did_you_mean
from rrgbench.text import terminology


def clean(text: str, steps: Iterable[str]) -> str:
    """The text after the named steps of ``STEPS``, in order.

    >>> clean("1. Pulmonary oedema.  2. A 2,5 centimeter nodule, as on ___.", STANDARD)
    'Pulmonary edema. A 2.5 cm nodule, as on.'
    """
    for name in steps:
        text = _step(name)(text)
    return text


def digest_of(steps: Iterable[str]) -> str:
    """A SHA-256 over the steps' names, order and versions, and over the terminology map where it is used."""
    named = tuple(steps)
    for name in named:
        _step(name)
    versions = [(name, VERSIONS[name]) for name in named]
    return digest(versions, terminology.DIGEST if "terminology" in named else None)


def _step(name: str) -> Callable[[str], str]:
    if name not in STEPS:
        known = ", ".join(STEPS)
        raise UsageError(f"no text step {name!r}.{did_you_mean(name, STEPS)} There are: {known}")
    return STEPS[name]


# --------------------------------------------------------------------------------------------------------- whitespace


def _whitespace(text: str) -> str:
    return " ".join(text.split())


# -------------------------------------------------------------------------------------------------- de-identification

# MIMIC-CXR writes three underscores (the two of a shortened one count, too), Open-i XXXX, MIMIC-III [**...**].
_BRACKET = re.compile(r"\[\*\*|\*\*\]")
_MARK = r"(?:_{2,}|[Xx]{4,})"
_RUN = rf"{_MARK}(?:[ \t]*[,/-]?[ \t]*{_MARK})*-?"  # "___, ___", "XXXX/XXXX", "XXXX-" of "XXXX-year-old": one mark
_MARKS = re.compile(rf"(?<![ \t])[ \t]*(?:\([ \t]*{_RUN}[ \t]*\)|{_RUN})[ \t]*")


def _without_marks(text: str) -> str:
    """Marks go, and one blank stays where words would meet ("XXXXyear" leaves "year", "left XXXXrib" "left rib").

    They stand for names, dates and places that no image shows, and three underscores are a word to BLEU.
    """
    text = _bracketed_to_underscores(text)

    def gap(match: re.Match[str]) -> str:
        before, after = text[max(0, match.start() - 1) : match.start()], text[match.end() : match.end() + 1]
        at_edge = before in ("", "\n", "(") or after in ("", "\n", ".", ",", ";", ":", "!", "?", ")")
        return "" if at_edge else " "

    return _MARKS.sub(gap, text)


def _bracketed_to_underscores(text: str) -> str:
    """Each ``[** ... **]`` as ``___``; the outer of nested ones; what is not closed stays."""
    opened: list[int] = []
    spans: list[tuple[int, int]] = []
    for match in _BRACKET.finditer(text):
        if match.group() == "[**":
            opened.append(match.start())
        elif opened:
            start = opened.pop()
            while spans and spans[-1][0] > start:
                spans.pop()
            spans.append((start, match.end()))
    pieces, end = [], 0
    for start, stop in spans:
        pieces += [text[end:start], "___"]
        end = stop
    return "".join([*pieces, text[end:]])


# ---------------------------------------------------------------------------------------------------------- numbering

_MARKED = r"(?:[.)]\s+|\)(?=[A-Za-z])|\.(?=[A-Z][a-z]))"  # a mark and a blank, or "1)Heart" and "1.Heart"
_LIST_NUMBER = re.compile(rf"(?<!\S)(?:\(?([0-9]{{1,2}}){_MARKED})+(?=[^\s0-9])")


def _without_numbering(text: str) -> str:
    """List numbers ("1. ", "2) ", "(3) ", "4)" before a word) go where an item can begin: at the start, after the end
    of a sentence, after a heading or an empty line; at the start of any other line only the number that follows the one
    before.

    So the "12." of "... of rib\\n12. Lungs" stays, and so does a number before a number ("1. 5 cm").
    """
    last = 0

    def drop(match: re.Match[str]) -> str:
        nonlocal last
        ahead = text[max(0, match.start() - 100) : match.start()]
        before = ahead.rstrip()
        lines = ahead[len(before) :].count("\n")
        heading = before.endswith(":") and (lines > 0 or before[-3:-1].isupper())
        begins = not before or before[-1] in ".!?;" or heading or lines > 1
        number = int(re.findall("[0-9]+", match.group())[0])
        if not begins and not (lines and last and number == last + 1):
            return match.group()
        last = int(match[1])
        return ""

    return _LIST_NUMBER.sub(drop, text)


# -------------------------------------------------------------------------------------------------------------- units

_SYMBOLS = {
    "mm": ("mm", "mms", "millimeter", "millimeters", "millimetre", "millimetres"),
    "cm": ("cm", "cms", "centimeter", "centimeters", "centimetre", "centimetres"),
    "ml": ("ml", "mls", "milliliter", "milliliters", "millilitre", "millilitres"),
}
_SYMBOL = {spelling: symbol for symbol, spellings in _SYMBOLS.items() for spelling in spellings}
_COMMA = re.compile(r"(?<=[0-9]),(?=[0-9])(?![0-9]{3}(?![0-9]))")  # a decimal one
_NUMBER = r"(?:[0-9]+[.,][0-9]+|\.?[0-9]+)"
_LENGTH = re.compile(
    # the numbers of one measure, "2 x 3 x 4 cm" or "2 to 3 cm" (of more than four, the last);
    # a number may stand right after the x of "3x4 cm", after no other letter
    rf"(?<![A-WYZa-wyz0-9.,])((?:{_NUMBER}\s*(?:x|×|by|to|-)\s*){{0,3}}{_NUMBER})(?:\s*-\s*|\s*)"
    rf"({'|'.join(sorted(_SYMBOL, key=len, reverse=True))})(?![A-Za-z0-9])",
    re.IGNORECASE,
)


def _with_unit_symbols(text: str) -> str:
    """Lengths and volumes as number, blank, symbol: "2,5 centimeters", "2.5-cm" and "2.5cm" are "2.5 cm".

    All numbers of one measure are written alike: "2,5 x 3,5cm" is "2.5 x 3.5 cm". Nothing is converted. A comma before
    three digits ("1,500 ml") parts thousands and stays.
    """

    def spelled(match: re.Match[str]) -> str:
        numbers, unit = match.groups()
        return f"{_COMMA.sub('.', numbers)} {_SYMBOL[unit.lower()]}"

    return _LENGTH.sub(spelled, text)


# -------------------------------------------------------------------------------------------------------------- R2Gen

# modules/tokenizers.py of cuhksz-nlp/R2Gen, clean_report_mimic_cxr and clean_report_iu_xray. Its class of characters
# holds the range from ":" to "[", and so the capitals and <, =, > and @, too; a hyphen is not in it.
_QUOTES = str.maketrans("", "", "\"/\\'")
_PUNCTUATION = str.maketrans("", "", ".,?;*!%^&_+():<=>@[]{}" + string.ascii_uppercase)
_NUMBERS = (("1. ", ""), *((f"{dot} {n}. ", ". ") for dot in (".", "") for n in (2, 3, 4, 5)))
_MIMIC = (("\n", " "), *7 * (("__", "_"),), *6 * (("  ", " "),), *8 * (("..", "."),), *_NUMBERS)
_IU = (*3 * (("..", "."),), *_NUMBERS)


def _as_r2gen(replacements: tuple[tuple[str, str], ...]) -> Callable[[str], str]:
    """R2Gen's cleaning: replacements one after the other, then sentences without punctuation, joined by " . ".

    Not idempotent (a second time adds a blank before the last full stop), nor harmless: "T11. " loses its "1. ", "1.5"
    its point, and an empty text becomes " .".
    """

    def cleaned(text: str) -> str:
        for old, new in replacements:
            text = text.replace(old, new)
        sentences = text.strip().lower().split(". ")
        words = [s.translate(_QUOTES).strip().lower().translate(_PUNCTUATION) for s in sentences]
        return " . ".join(words) + " ."

    return cleaned


# -------------------------------------------------------------------------------------------------------------- Libra


def _as_libra(text: str) -> str:
    """Libra's cleaning of both texts (X-iZhang/Libra, libra/eval/radiology_report.py): lower case; underscores and
    hyphens are blanks; of punctuation only ``.,:;()`` stays; a slash goes without leaving a blank ("s/p" is "sp").
    """
    text = re.sub(r"[\n_-]+", " ", text.lower())
    text = re.sub(r"[^\w\s.,:;()]", "", text)
    return re.sub(r"\s{2,}", " ", text).strip()


STEPS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "whitespace": _whitespace,
        "lower": str.lower,
        "de-identification": _without_marks,
        "numbering": _without_numbering,
        "units": _with_unit_symbols,
        "terminology": terminology.unify,
        "r2gen-mimic": _as_r2gen(_MIMIC),
        "r2gen-iu": _as_r2gen(_IU),
        "libra": _as_libra,
    }
)
VERSIONS: Mapping[str, str] = MappingProxyType({**dict.fromkeys(STEPS, "1"), "numbering": "2", "units": "2"})

# In this order: numbering needs the line ends that white space takes away. Case is left to the protocol.
STANDARD = ("de-identification", "numbering", "units", "terminology", "whitespace")
