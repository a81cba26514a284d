from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

PAIRS = [  # candidate, reference
    ("The heart is normal in size. The lungs are clear.", "Heart size is normal. Lungs are clear bilaterally."),
    ("No pleural effusion or pneumothorax.", "There is no pneumothorax or pleural effusion."),
    ("The lungs are clear.", "The lungs are clear."),
    ("1. Heart enlarged. 2. LUNGS CLEAR...", "The enlargement of the heart is unchanged; clear lungs!"),
    ("Effusion: 1.5 cm, 50% [new] & <5 mm\tleft", "Effusion (1.5 cm) - 50 % of the hemithorax &lt; 5 mm"),
    ("'No acute process' isn't seen", "\u201cNo acute process\u201d is not seen"),
    ("coração aumentado\u2028sem derrame", "Coração normal;\nsem derrame pleural."),
    ("肺野清晰。心影不大", "肺野 清晰 。"),
    ("\U0001f600 e\u0301 \u202e ||| \x00 clear\u00a0lungs", "é clear\rlungs"),
    ("clear", "clear"),
    ("clear", "normal"),
    ("?", "."),
    ("", "The heart is normal."),
    ("The heart is normal.", ""),
    ("", ""),
    ("the heart is normal and the lungs are clear " * 40, "the lungs are clear and the heart is enlarged " * 30),
]


@pytest.fixture(scope="session")
def pairs() -> list[tuple[str, str]]:
    return PAIRS


SYNSETS = {"n": [["heart", "ticker"], ["lung"]], "v": [["clear", "clear_up"]], "a": [["large", "big"]], "r": []}


@pytest.fixture(scope="session")
def nltk_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tiny WordNet and an untrained sentence splitter, in NLTK's own formats, where NLTK looks first."""
    import nltk

    folder = tmp_path_factory.mktemp("nltk_data")
    _write_wordnet(folder / "corpora" / "wordnet")
    punkt = folder / "tokenizers" / "punkt_tab" / "english"
    punkt.mkdir(parents=True)
    for name in ("collocations.tab", "sent_starters.txt", "abbrev_types.txt", "ortho_context.tab"):
        (punkt / name).write_text("")
    nltk.data.path.insert(0, str(folder))
    yield folder
    nltk.data.path.remove(str(folder))


def _write_wordnet(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "lexnames").write_text("00\tall\t1\n")
    for name in ("cntlist.rev", "index.sense", *(f"{pos}.exc" for pos in ("adj", "adv", "noun", "verb"))):
        (folder / name).write_text("")
    for pos, name in {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}.items():
        data, index = "  1 WordNet 3.0 Copyright\n", ""
        for words in SYNSETS[pos]:
            offset = f"{len(data):08d}"
            data += f"{offset} 00 {pos} {len(words):02x} {' '.join(f'{word} 0' for word in words)} 000 | .\n"
            index += "".join(f"{word} {pos} 1 0 1 0 {offset}\n" for word in words)
        (folder / f"data.{name}").write_text(data)
        (folder / f"index.{name}").write_text(index)
