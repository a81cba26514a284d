"""Protocols: how text is prepared before it is scored. Scores under different protocols never share a column.

A protocol is data: which sections are compared, whether a report counts once a study or once an image, and through
which steps both texts go. One function does the work for all of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rrgbench.cache import digest
from rrgbench.errors import UsageError, did_you_mean
from rrgbench.text import cleaning, r2gen
from rrgbench.text.reports import as_report
from rrgbench.types import Report, Study

FRONTAL = ("PA", "AP", "FRONTAL")  # the last where a dataset says no more


@dataclass(frozen=True)
class Step:
    """How much of a split is left after a filter of a protocol."""

    name: str
    studies: int
    images: int
    patients: int


@dataclass(frozen=True)
class Protocol:
    """Which text of the reference and of the report is compared, and how often a study counts.

    ``sections`` are joined, in this order, as far as there are any; ``headings`` puts each one's name before it. With
    ``whole`` a text without sections is taken as it is. ``unit`` "image" counts a study once for each of its images
    (those of ``views``). ``steps`` are those of ``rrgbench.text.cleaning``, on both texts. With ``max_length`` both go
    through R2Gen's tokenizer: cut at that many ids, a word seen fewer than ``min_count`` times in training ``<unk>``.
    """

    name: str
    summary: str
    sections: tuple[str, ...]
    source: str = ""
    unit: Literal["study", "image"] = "study"
    views: Literal["all", "frontal"] = "all"
    headings: bool = False
    whole: bool = False
    steps: tuple[str, ...] = ("whitespace",)
    min_count: int | None = None
    max_length: int | None = None
    vocabulary: frozenset[str] | None = None  # filled by ``fitted``
    unverified: str = ""

    @property
    def signature(self) -> str:
        """All that a prepared text depends on, in one line."""
        pieces = [
            f"protocol:{self.name}",
            f"unit:{self.unit}",
            f"views:{self.views}" if self.views != "all" else "",
            f"text:{'+'.join(self.steps)}@{cleaning.digest_of(self.steps)[:8]}",
        ]
        if self.max_length:
            words = f"@{digest(sorted(self.vocabulary))[:8]}" if self.vocabulary else ":none"
            pieces.append(f"length:{self.max_length}|vocabulary{words}")
        return "|".join(piece for piece in pieces if piece)

    def fitted(
        self, studies: Sequence[Study], train: Callable[[], Iterable[Study]] | None
    ) -> tuple[Protocol, list[str]]:
        """The protocol as it is used on these studies, with warnings where they lack what it asks for."""
        out, warnings = self, []
        images = [image for study in studies for image in study.images]
        if self.views == "frontal" and not any(image.view for image in images):
            out = replace(out, views="all")
            warnings.append(f"{self.name} counts frontal images, and the data don't say which are: all count")
        if self.unit == "image" and not images:
            out = replace(out, unit="study")
            warnings.append(f"{self.name} counts images, and the data have none: each study counts once")
        if self.min_count and train and self.vocabulary is None:
            try:
                words = r2gen.vocabulary(out._training_texts(train()), self.min_count)
            except UsageError as error:
                raise UsageError(
                    f"{self.name} counts the words of the split train, and it can't be read: {error}"
                ) from None
            out = replace(out, vocabulary=words if len(words) > 1 else None)  # <unk> itself is one
        if self.min_count and out.vocabulary is None:
            warnings.append(
                f"{self.name} writes <unk> for words that are rare in training, and no training text is there"
            )
        return out, warnings

    def _training_texts(self, train: Iterable[Study]) -> Iterator[str]:
        """The cleaned references of the training split, each as often as it counts."""
        for study in train:
            if text := self._sectioned(study.sections):
                yield from itertools.repeat(self._cleaned(text), len(self.units(study)))

    def units(self, study: Study) -> tuple[str | None, ...]:
        """What is counted of a study: the ids of its images, None for the study itself, nothing if left out."""
        if self.unit == "image":
            return self._counted(study)
        return (None,) if self.views == "all" or self._counted(study) else ()

    def reference(self, study: Study) -> str | None:
        """The reference text of a study, or None where it has none of the sections."""
        if self.whole and "report" in study.sections:
            return self._prepared(study.sections["report"])
        return self._prepared(self._sectioned(study.sections))

    def candidate(self, report: Report, image_id: str | None = None) -> str | None:
        """The text of a report that is scored (an image's, where it has such). Unsectioned it is taken whole."""
        if report.by_image and image_id is not None:
            if image_id not in report.by_image:
                return None
            report = as_report(report.by_image[image_id])
        if self.whole or not report.sections:
            return self._prepared(report.text)
        return self._prepared(self._sectioned(report.sections))

    def filters(self, studies: Sequence[Study]) -> list[Step]:
        """What each filter leaves of a split: all studies, those with an image that counts, those with a reference."""
        steps = [self._step("in the split", studies, lambda study: len(study.images))]
        counted = studies
        if self.views == "frontal":
            counted = [study for study in counted if self._counted(study)]
            steps.append(self._step("with a frontal image", counted, lambda study: len(self._counted(study))))
        counted = [study for study in counted if self.reference(study) is not None]
        wanted = " or ".join(self.sections)
        return [*steps, self._step(f"with {wanted}", counted, lambda study: len(self._counted(study)))]

    def _step(self, name: str, studies: Sequence[Study], images: Callable[[Study], int]) -> Step:
        return Step(name, len(studies), sum(map(images, studies)), len({study.patient_id for study in studies}))

    def _counted(self, study: Study) -> tuple[str, ...]:
        counted = (i.image_id for i in study.images if self.views == "all" or i.view in FRONTAL)
        return tuple(dict.fromkeys(counted))

    def _sectioned(self, sections: Mapping[str, str]) -> str | None:
        found = [(name, text) for name in self.sections if (text := sections.get(name, "").strip())]
        return " ".join(f"{name.title()}: {text}" if self.headings else text for name, text in found) or None

    def _cleaned(self, text: str) -> str:
        return cleaning.clean(text, self.steps)

    def _prepared(self, text: str | None) -> str | None:
        if text is None or not text.strip():
            return None
        text = self._cleaned(text)
        if self.max_length:
            text = r2gen.encode_decode(text, self.vocabulary, self.max_length)
        return text or None


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "full-text", "findings and impression, as far as there are any", ("findings", "impression"), whole=True
        ),
        Protocol("findings", "the findings section alone", ("findings",)),
        Protocol("impression", "the impression section alone", ("impression",)),
        Protocol(
            "structured",
            "findings with their line breaks, for metrics that read headings",
            ("findings",),
            whole=True,
            steps=(),
        ),
        Protocol(
            "r2gen",
            "R2Gen's tables on MIMIC-CXR: cleaned findings, <unk> and truncation in the references too, a row an image",
            ("findings",),
            source="cuhksz-nlp/R2Gen modules/tokenizers.py, datasets.py, trainer.py; Chen et al., EMNLP 2020",
            unit="image",
            steps=("r2gen-mimic",),
            min_count=10,
            max_length=100,
        ),
        Protocol(
            "r2gen-iu",
            "R2Gen's tables on IU X-Ray: the same with its own cleaning and limits, a row a study",
            ("findings",),
            source="cuhksz-nlp/R2Gen modules/tokenizers.py, datasets.py, trainer.py; Chen et al., EMNLP 2020",
            steps=("r2gen-iu",),
            min_count=3,
            max_length=60,
        ),
        Protocol(
            "rexrank",
            "ReXrank's public boards: findings and impression under their headings, an absent one left out",
            ("findings", "impression"),
            source="rajpurkarlab/ReXrank example_files/evaluation_script.md",
            headings=True,
            unverified="the boards' own texts say None for an absent section; that they still use this script",
        ),
        Protocol(
            "llava-rad",
            "LLaVA-Rad's tables on MIMIC-CXR: findings, a row a frontal image",
            ("findings",),
            source="Zambrano Chaves et al., Nature Communications 2025, figure 2; microsoft/LLaVA-Rad llava/eval",
            unit="image",
            views="frontal",
            unverified="n: the paper's sections were made by GPT-4 and are credentialed; these are the data's own",
        ),
        Protocol(
            "maira2",
            "MAIRA-2's tables: findings of studies with a frontal image",
            ("findings",),
            source="Bannur et al., arXiv 2406.04449",
            views="frontal",
            unverified="unit, views, section rules, cleaning and n",
        ),
        Protocol(
            "libra",
            "Libra's tables on MIMIC-CXR: findings in lower case without punctuation, a row a frontal image",
            ("findings",),
            source="X-iZhang/Libra libra/eval",
            unit="image",
            views="frontal",
            steps=("libra",),
            unverified="unit, views and n",
        ),
        Protocol(
            "rrg24",
            "the findings track of the RRG24 shared task",
            ("findings",),
            source="Stanford-AIMI/RRG24; jbdel/vilmedic make_mimic_cxr.py",
            unverified="cleaning of the hidden test set (1,063 findings)",
        ),
        Protocol(
            "standard",
            "findings and impression with de-identification marks, numbering, units and terms made uniform",
            ("findings", "impression"),
            whole=True,
            steps=cleaning.STANDARD,
        ),
    )
}


def protocol(name: str) -> Protocol:
    """The protocol of this name. Raises UsageError."""
    if name not in PROTOCOLS:
        known = ", ".join(PROTOCOLS)
        raise UsageError(f"There is no protocol {name!r}.{did_you_mean(name, PROTOCOLS)} There are: {known}.")
    return PROTOCOLS[name]
