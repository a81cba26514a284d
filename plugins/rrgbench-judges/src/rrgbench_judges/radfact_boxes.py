"""RadFact's boxes: grounded phrases from a file, and how much of one phrase's boxes others cover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rrgbench import quoting, tables
from rrgbench.errors import UsageError

Corners = tuple[float, float, float, float]
"""x1, y1, x2, y2 as fractions (0..1) of the image's width and height, from the upper left."""

SIZE = 224  # pixels of a mask's side (image_size of RadFactMetric, src/radfact/metric/radfact.py)
_CORNERS = ("x_min", "y_min", "x_max", "y_max")
_FORM = '{"phrase": "…", "boxes": [[x1, y1, x2, y2]]}'


@dataclass(frozen=True)
class Phrase:
    """One finding in words, and where it is; without boxes, nothing is said of that."""

    text: str
    boxes: tuple[Corners, ...] = ()


def covered(boxes: Sequence[Corners], by: Sequence[Corners]) -> float:
    """The share of the pixels of ``boxes`` that lie in the union of ``by``, 0..1; 0 where ``boxes`` have no pixel.

    Pixels are those of a mask of 224 x 224, and a corner is cut to a whole one (box_metrics.py of RadFact).
    """
    own = _mask(boxes)
    pixels = own.sum()
    return float((own & _mask(by)).sum() / pixels) if pixels else 0.0


def _mask(boxes: Sequence[Corners]) -> npt.NDArray[np.bool_]:
    mask = np.zeros((SIZE, SIZE), dtype=np.bool_)
    for box in boxes:
        x1, y1, x2, y2 = (int(corner * SIZE) for corner in box)
        mask[y1:y2, x1:x2] = True
    return mask


def from_file(path: Path) -> dict[str, tuple[Phrase, ...]]:
    """The phrases of each study, from JSON: study_id to a list of {"phrase": text, "boxes": [[x1, y1, x2, y2], …]}.

    As RadFact writes them is fine, too: ``text`` for ``phrase``, and a box as {"x_min": …, "y_min": …, "x_max": …,
    "y_max": …}. ``boxes`` may be null, empty or absent. Raises UsageError.
    """
    out = {}
    for study_id, entries in tables.read_mapping(path).items():
        where = f"{path}, {quoting.name(study_id)}"
        if not isinstance(entries, list):
            raise UsageError(f"{where}: must be a list of phrases, as in [{_FORM}].")
        out[study_id] = tuple(_phrase(entry, f"{where}, phrase {at}") for at, entry in enumerate(entries, 1))
    return out


def _phrase(entry: Any, where: str) -> Phrase:
    if not isinstance(entry, dict) or not {*entry} <= {"phrase", "text", "boxes"}:
        raise UsageError(f"{where}: must be {_FORM} and hold nothing else.")
    texts = [entry[key] for key in ("phrase", "text") if key in entry]
    if len(texts) != 1 or not isinstance(texts[0], str) or not texts[0].strip():
        raise UsageError(f"{where}: 'phrase' must be there once, and be text.")
    boxes = entry.get("boxes") or []
    if not isinstance(boxes, list):
        raise UsageError(f"{where}: 'boxes' must be a list of [x1, y1, x2, y2], or null.")
    return Phrase(" ".join(texts[0].split()), tuple(_corners(box, where) for box in boxes))


def _corners(box: Any, where: str) -> Corners:
    if isinstance(box, Mapping) and box.keys() == set(_CORNERS):
        box = [box[name] for name in _CORNERS]
    if not isinstance(box, list) or len(box) != 4 or not all(type(each) in (int, float) for each in box):
        raise UsageError(f"{where}: a box must be four numbers, [x1, y1, x2, y2].")
    x1, y1, x2, y2 = map(float, box)
    if not (0 <= x1 <= x2 <= 1 and 0 <= y1 <= y2 <= 1):
        raise UsageError(
            f"{where}: a box must have 0 <= x1 <= x2 <= 1 and 0 <= y1 <= y2 <= 1, not {box}: divide pixels by the"
            " image's width and height."
        )
    return x1, y1, x2, y2
