"""Where several encoders look together: the mean of their maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import PIL.Image

from rrgbench.errors import UsageError
from rrgbench.labels import counterparts
from rrgbench.saliency.measures import Map
from rrgbench.types import Context, Failure, Vocabulary

_NOTHING = Context("")
_NEEDS = ("images", "sections", "demographics", "prior", "labels")


def of_members(
    members: Sequence[Any], vocabulary: Vocabulary, contexts: Sequence[Context], labels: Sequence[str], method: str
) -> list[dict[str, Map] | Failure]:
    """The mean of the members' maps of each label, each map first divided by its maximum, in order of the contexts.

    ``labels`` are of ``vocabulary``; a member's own are translated (of several that mean one, the greatest value
    counts), and a label is averaged over the members that assess it. A context that a member fails on is that failure.
    Raises UsageError where a member can't say where it looks, or none assesses a label.
    """
    pieces: list[dict[str, list[Map]] | Failure] = [{} for _ in contexts]
    for member in members:
        if not hasattr(member, "saliency"):
            raise UsageError(f"A member of the ensemble, {type(member).__name__}, can't say where it looks.")
        own = _assessed(member, vocabulary, labels)
        hidden = {need: getattr(_NOTHING, need) for need in _NEEDS if need not in member.needs}
        seen = [replace(context, **hidden) for context in contexts]
        asked = list(dict.fromkeys(source for sources in own.values() for source in sources))
        for at, maps in enumerate(member.saliency(seen, asked, method)):
            so_far = pieces[at]
            if isinstance(maps, Failure):
                pieces[at] = maps if not isinstance(so_far, Failure) else so_far
            elif not isinstance(so_far, Failure):
                for label, sources in own.items():
                    so_far.setdefault(label, []).append(np.max([_scaled(maps[source]) for source in sources], axis=0))
    return [each if isinstance(each, Failure) else {x: _mean(each, x) for x in labels} for each in pieces]


def _assessed(member: Any, vocabulary: Vocabulary, labels: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """For each of the labels that a member assesses: its own labels that together mean the same."""
    known = getattr(member, "thresholds", None) or member.vocabulary.labels
    table = counterparts(member.vocabulary, vocabulary)
    return {label: table[label] for label in labels if label in table and all(own in known for own in table[label])}


def _scaled(found: Map) -> Map:
    greatest = found.max()
    return found / greatest if greatest > 0 else found


def _mean(maps: Mapping[str, Sequence[Map]], label: str) -> Map:
    """The mean of maps of different sizes, in the first one's."""
    if label not in maps:
        raise UsageError(f"No member of the ensemble assesses {label!r}.")
    first, *others = maps[label]
    size = first.shape[::-1]
    fitted = [np.asarray(PIL.Image.fromarray(each).resize(size, PIL.Image.Resampling.BILINEAR)) for each in others]
    mean: Map = np.mean([first, *fitted], axis=0, dtype=np.float32)
    return mean
