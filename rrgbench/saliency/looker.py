"""One encoder's view of studies: which labels to look at, its maps of them, and how well they agree with the boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rrgbench import encoding, planning
from rrgbench.errors import FAULTS, UsageError, did_you_mean
from rrgbench.labels import snake, translate
from rrgbench.parts import Part
from rrgbench.saliency import measures
from rrgbench.saliency.results import Case
from rrgbench.types import Box, Context, Failure, Findings, Status, Study


@dataclass(frozen=True)
class Seen:
    """One label of one study: the case, the truth's boxes, the encoder's map, and where that has its maximum (x, y)."""

    case: Case
    boxes: tuple[Box, ...]
    map: measures.Map
    point: tuple[float, float] | None


class Looker:
    """An encoder, the cases that it has seen so far (``cases``), and by study why it could not see (``failures``)."""

    def __init__(self, encoder: Part, name: str, labels: Sequence[str], method: str) -> None:
        """``labels`` are the only ones to look at; any, where none is named. Raises UsageError."""
        if not hasattr(encoder.obj, "saliency"):
            raise UsageError(f"The encoder {encoder.name} can't say where it looks: it has no method `saliency`.")
        self.part, self.name = encoder, name
        self.cases: list[Case] = []
        self.failures: dict[str, str] = {}
        self.assessed: dict[str, None] = {}  # labels, in the encoder's order
        self._asked, self._method = labels, method
        self._unmeasured: dict[str, int] = {}  # boxed findings by the dataset's label

    def look(self, batch: Sequence[Study]) -> list[list[Seen]]:
        """What is seen of each study; nothing where the encoder failed, or where there is nothing to look for."""
        contexts = {study.study_id: planning.context(study, self.part.obj.needs) for study in batch}
        encoded = encoding.encode(self.part, list(contexts.values()), lambda _: None)
        wanted = {}
        for study in batch:
            found, _ = encoded[study.study_id]
            if isinstance(found, Failure):
                self.failures[study.study_id] = found.message
            elif cases := self._cases(study, found):
                wanted[study.study_id] = cases
        labels = list(dict.fromkeys(case.label for cases in wanted.values() for case, _ in cases))
        made = dict(zip(wanted, _maps(self.part, [contexts[i] for i in wanted], labels, self._method), strict=True))
        return [self._seen(study.study_id, wanted.get(study.study_id, []), made) for study in batch]

    def note(self) -> str | None:
        """Which boxes can't be used, in a sentence."""
        if not self._unmeasured:
            return None
        named = ", ".join(f"{label} ({count})" for label, count in self._unmeasured.items())
        return f"{self.name} assesses no label for these findings that have boxes: {named}."

    def _cases(self, study: Study, found: Findings) -> list[tuple[Case, tuple[Box, ...]]]:
        """The labels of a study to look at: boxed or called present. They are not measured yet."""
        self.assessed.update(dict.fromkeys(found.by_label))
        asked = {snake(label) for label in self._asked}
        for label in self._asked:
            if snake(label) not in map(snake, found.by_label):
                hint = did_you_mean(label, list(found.by_label))
                there = f"It assesses: {', '.join(found.by_label)}."
                raise UsageError(f"The encoder {self.name} does not assess {label!r}.{hint} {there}")
        truth = translate(study.labels, found.vocabulary).by_label if study.labels else {}
        out, used = [], set[Box]()
        for finding in found:
            true = truth.get(finding.label)
            present = true is not None and true.status is Status.PRESENT
            boxes = true.boxes if true is not None and present else ()
            used.update(boxes)
            called = finding.status is Status.PRESENT
            if (boxes or called) and (not asked or snake(finding.label) in asked):
                known = None if true is None else present
                ids = (study.study_id, study.patient_id, finding.label)
                out.append((Case(self.name, *ids, finding.probability, called, known, bool(boxes)), boxes))
        for own in study.labels or ():
            if own.status is Status.PRESENT and own.boxes and not used.issuperset(own.boxes):
                self._unmeasured[own.label] = self._unmeasured.get(own.label, 0) + 1
        return out

    def _seen(
        self,
        study_id: str,
        cases: Sequence[tuple[Case, tuple[Box, ...]]],
        made: Mapping[str, Mapping[str, measures.Map] | Failure],
    ) -> list[Seen]:
        """The cases of a study, measured where they have boxes."""
        if not cases:
            return []
        maps = made[study_id]
        if isinstance(maps, Failure):
            self.failures[study_id] = maps.message
            return []
        out = []
        for case, boxes in cases:
            fine = measures.enlarged(maps[case.label])
            point = measures.peak(fine)
            if boxes:
                inside = measures.covered(boxes, fine.shape)
                overlap = measures.overlap(measures.standing_out(fine), inside)
                case = replace(case, hit=measures.hits(point, boxes), iou=overlap, share=float(inside.mean()))
            out.append(Seen(case, boxes, maps[case.label], point))
        self.cases += [seen.case for seen in out]
        return out


def _maps(
    encoder: Part, contexts: Sequence[Context], labels: Sequence[str], method: str
) -> list[Mapping[str, measures.Map] | Failure]:
    """A map a label for each context, or a failure; what the encoder raises costs the studies that raise it alone."""
    if not contexts:
        return []
    try:
        made = list(encoder.obj.saliency(contexts, labels, method))
        if len(made) != len(contexts):
            raise ValueError(f"the encoder gave maps of {len(made)} studies for {len(contexts)}")
        return [_checked(maps, labels) for maps in made]
    except UsageError:
        raise  # the encoder can't look as it was asked to: no study's fault
    except FAULTS as error:
        if len(contexts) == 1:
            return [encoding.failing(error, "encoder")]
        return [maps for context in contexts for maps in _maps(encoder, [context], labels, method)]


def _checked(maps: Mapping[str, measures.Map] | Failure, labels: Sequence[str]) -> Mapping[str, measures.Map] | Failure:
    """The maps as float32, if they are what they should be. Raises ValueError."""
    if isinstance(maps, Failure):
        return maps
    out = {label: np.asarray(maps[label], dtype=np.float32) for label in labels}
    for label, values in out.items():
        if values.ndim != 2 or not values.size or not np.isfinite(values).all() or values.min() < 0:
            raise ValueError(f"the map of {label} is no picture of finite numbers from 0 on (shape {values.shape})")
    return out
