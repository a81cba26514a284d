"""How much of a file's cell an error message may quote: messages go into logs, and a report must not.

Which cell holds a report is not always known: an option may name the wrong column, and a header may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MOST = 20  # characters of a cell
_LONGEST_COLUMN = 30  # characters of a column's name
# One word, or the path of an image or a text: nothing that a sentence could be.
_NAME = re.compile(r"[\x21-\x7e]{1,120}|[\x20-\x7e]{1,160}\.(?:png|jpe?g|dcm|dicom|txt|xml)", re.IGNORECASE)


def cell(text: str) -> str:
    """A cell in quotes, or how long it is where it has more than ``MOST`` characters.

    >>> cell("maybe"), cell("The lungs are clear and the heart is normal.")
    ("'maybe'", 'a text of 44 characters')
    """
    return repr(text) if len(text) <= MOST else f"a text of {len(text):,} characters"


def name(text: str) -> str:
    """An id or a file's name in quotes, as a whole where it can be nothing else; other texts as ``cell`` has them.

    >>> name("02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"), name("The lungs are clear and the heart is normal.")
    ("'02aa804e-bde0afdd-112c0b34-7bc16630-4e384014'", 'a text of 44 characters')
    """
    return repr(text) if _NAME.fullmatch(text) else cell(text)


def columns(names: Sequence[str]) -> str:
    """The first names of a header, a long one cut: without a header these are cells."""
    shown = [text if len(text) <= _LONGEST_COLUMN else f"{text[:MOST]}…" for text in names[:20]]
    return ", ".join(shown)
