"""``ratescore``: do two reports speak of the same entities? (Zhao et al., EMNLP 2024)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from rrgbench import hub, stats, tables
from rrgbench.cache import file_digest
from rrgbench.errors import UsageError
from rrgbench.types import Case
from rrgbench_ratescore import files, sentences
from rrgbench_ratescore.arithmetic import Array, Entity, Side, score
from rrgbench_ratescore.weights import MATRICES, RELEASE

_COLUMNS = ["ratescore", "ratescore_of_report", "ratescore_of_reference", "ratescore_report_entities"]
_COLUMNS += ["ratescore_reference_entities"]
_OTHERWISE = (
    "What it would give may come from files: report_entities=A.json,reference_entities=B.json,embeddings=E.json."
)


class RaTEScore:
    """``ratescore``, higher is better: the mean over reports of RaTEScore, 0 to 1 but for negative cosines.

    Entities of both texts, each with a type, are matched with the nearest of the other text by the cosine of their
    vectors; a match of opposite polarity counts less. Two texts score .5 where either has no entity, so that a system
    that says nothing scores .5: read it beside the coverage.

    ``matrix``: "long" for reports (the authors' default), "short" for sentences. ``report_entities`` and
    ``reference_entities``: JSON, study_id to a list of [text, type]. ``embeddings``: the vector of each entity's text,
    JSON or .npz. What isn't given is made by the models ``ner`` and ``encoder``: folders, or names in the local hub
    cache.
    """

    version = "1"
    higher_is_better: Mapping[str, bool] = {"ratescore": True}
    neutral = ("report_entities", "ner", "encoder", "device", "batch")  # the signature says which models these are

    def __init__(
        self,
        matrix: Literal["long", "short"] = "long",
        report_entities: Path | None = None,
        reference_entities: Path | None = None,
        embeddings: Path | None = None,
        ner: str = "Angelakeke/RaTE-NER-Deberta",
        encoder: str = "FremyCompany/BioLORD-2023-C",
        device: str = "auto",
        batch: int = 32,
    ) -> None:
        if batch < 1:
            raise UsageError(f"ratescore: batch must be at least 1, not {batch}.")
        self._matrix, self._device, self._batch = MATRICES[matrix], device, batch
        self._sources = report_entities, reference_entities
        self._given = [files.entities(path) if path else None for path in self._sources]
        self._vectors = files.embeddings(embeddings) if embeddings else None
        self._ner = self._encoder = None
        if None in self._given:
            self._ner = hub.folder("ratescore", "ner", ner, _OTHERWISE)
            sentences.require()
        if embeddings is None:
            self._encoder = hub.folder("ratescore", "encoder", encoder, _OTHERWISE)
        self.needs = ("report",) if reference_entities else ("report", "reference")
        self._digests = [("reference-entities", reference_entities), ("embeddings", embeddings)]

    @property
    def signature(self) -> str:
        """The release whose constants these are, the models' revisions and the files' digests."""
        models = [("ner", self._ner), ("encoder", self._encoder)]
        return "|".join(
            [
                f"constants:ratescore-{RELEASE}",
                *(f"{name}:{hub.revision(folder, hub.WEIGHTS)}" for name, folder in models if folder),
                *(f"{name}:{file_digest(path)[:12]}" for name, path in self._digests if path),
                *(["report-entities:file"] if self._sources[0] else []),
            ]
        )

    def rows(self, cases: Sequence[Case]) -> pd.DataFrame:
        """The score of each report, its two directions, and the entities counted. NaN where it can't be told."""
        found = [
            self._entities(cases, [case.candidate for case in cases], 0),
            self._entities(cases, [case.reference for case in cases], 1),
        ]
        vectors = self._embedded([entity.text for side in found for of_text in side for entity in of_text or ()])
        out = []
        without: list[str] = []
        for case, report, reference in zip(cases, *found, strict=True):
            known = report is not None and reference is not None
            if known and any(entity.text not in vectors for entity in (*report, *reference)):
                without.append(case.study.study_id)
                known = False
            if not known:
                out.append([np.nan] * len(_COLUMNS))
                continue
            scores = score(_side(report, vectors), _side(reference, vectors), self._matrix)
            out.append([*scores, len(report), len(reference)])
        if without:
            warnings.warn(
                f"ratescore: the file of embeddings lacks entities of {len(without)} studies, which get no score:"
                f" {', '.join(without[:5])}.",
                stacklevel=2,
            )
        return pd.DataFrame(out, columns=_COLUMNS, index=[case.study.study_id for case in cases], dtype=float)

    def reduce(self, rows: pd.DataFrame, weights: stats.Array | None = None) -> Mapping[str, stats.Array]:
        """The mean over the reports."""
        value = stats.mean(rows["ratescore"], stats.unit_weights(weights, len(rows)))
        return {"ratescore": value if weights is not None else value[0]}

    def _entities(
        self, cases: Sequence[Case], texts: Sequence[str | None], side: Literal[0, 1]
    ) -> list[list[Entity] | None]:
        """The entities of each text, from the file or by the model; None where they can't be told."""
        given = self._given[side]
        if given is not None:
            return tables.said_of(given, str(self._sources[side]), cases, texts, [])
        from rrgbench_ratescore.models import tagger

        assert self._ner is not None
        split = [_split(case, text or "") for case, text in zip(cases, texts, strict=True)]
        of_sentence = tagger(self._ner, self._device).entities([s for each in split for s in each or ()], self._batch)
        return [None if each is None else [e for s in each for e in of_sentence[s]] for each in split]

    def _embedded(self, texts: Sequence[str]) -> Mapping[str, Array]:
        if self._vectors is not None:
            return self._vectors
        from rrgbench_ratescore.models import encoder

        assert self._encoder is not None
        return encoder(self._encoder, self._device).vectors(texts, self._batch)


def _split(case: Case, text: str) -> list[str] | None:
    """The sentences of a text; None, with a warning, where RuSH fails. Half a surrogate pair becomes ?."""
    try:
        return sentences.sentences(text.encode("utf-8", "replace").decode())
    except UsageError:
        raise
    except Exception as error:
        warnings.warn(f"ratescore: no sentences for {case.study.study_id} ({type(error).__name__}).", stacklevel=2)
        return None


def _side(entities: Sequence[Entity], vectors: Mapping[str, Array]) -> Side:
    return Side([entity.type for entity in entities], np.array([vectors[entity.text] for entity in entities]))
