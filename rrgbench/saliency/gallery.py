"""The pictures of the page: a few studies a label, each image once, as data within the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import PIL.Image

from rrgbench.errors import ImageError
from rrgbench.normalisation import stretched_levels
from rrgbench.saliency.looker import Seen
from rrgbench.saliency.measures import Map
from rrgbench.types import Box, Study

SHOWN = 6  # studies with boxes of a label, the first in the dataset's order
CALLED = 3  # studies without, in which an encoder calls it present
PICTURE = 320  # pixels on the longer side
OVERLAY = 96  # a map is smooth; the browser enlarges it
COLOUR = (255, 122, 0)
OPAQUE = 0.8  # where a map is greatest


@dataclass(frozen=True)
class Picture:
    """An image as a data address, and its size in pixels."""

    data: str
    width: int
    height: int


@dataclass(frozen=True)
class Card:
    """One label of one study: the boxes, and by encoder what was seen, with the map as a data address."""

    study_id: str
    boxes: tuple[Box, ...]
    panels: tuple[tuple[Seen, str], ...]


@dataclass
class Gallery:
    """Cards by label, those with boxes apart from those without, and the images of their studies."""

    pictures: dict[str, Picture] = field(default_factory=dict)
    boxed: dict[str, list[Card]] = field(default_factory=dict)
    called: dict[str, list[Card]] = field(default_factory=dict)

    def add(self, study: Study, sights: Sequence[Sequence[Seen]]) -> None:
        """Take up a study, as far as its labels have not been shown often enough. ``sights`` has an item an encoder."""
        for label in dict.fromkeys(seen.case.label for sight in sights for seen in sight):
            mine = [seen for sight in sights for seen in sight if seen.case.label == label]
            boxes = mine[0].boxes
            cards = (self.boxed if boxes else self.called).setdefault(label, [])
            if len(cards) < (SHOWN if boxes else CALLED) and self._has_picture(study):
                cards.append(Card(study.study_id, boxes, tuple((seen, _overlay(seen.map)) for seen in mine)))

    def _has_picture(self, study: Study) -> bool:
        if study.study_id not in self.pictures:
            try:
                frontal = next((image for image in study.images if image.view != "LATERAL"), study.images[0])
                self.pictures[study.study_id] = _picture(frontal.read())
            except (ImageError, IndexError):  # an encoder that looks at other images has seen it
                return False
        return True


def _picture(pixels: npt.NDArray[np.float32]) -> Picture:
    """A radiograph, its grey levels stretched, as a small JPEG."""
    image = PIL.Image.fromarray(stretched_levels(pixels))
    image.thumbnail((PICTURE, PICTURE), PIL.Image.Resampling.LANCZOS)
    return Picture(_data(image, "JPEG", quality=85), *image.size)


def _overlay(found: Map) -> str:
    """A map in one colour, the more opaque the greater its value; its maximum is ``OPAQUE``."""
    small = PIL.Image.fromarray(found)
    small.thumbnail((OVERLAY, OVERLAY), PIL.Image.Resampling.BILINEAR)
    values = np.asarray(small)
    greatest = values.max()
    alpha = values / greatest * OPAQUE if greatest > 0 else np.zeros_like(values)
    pixels = np.empty((*values.shape, 4), dtype=np.uint8)
    pixels[..., :3] = COLOUR
    pixels[..., 3] = np.rint(alpha * 255)
    return _data(PIL.Image.fromarray(pixels), "PNG", optimize=True)


def _data(image: PIL.Image.Image, form: str, **options: object) -> str:
    file = io.BytesIO()
    image.save(file, form, **options)
    return f"data:image/{form.lower()};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
