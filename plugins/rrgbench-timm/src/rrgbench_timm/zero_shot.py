"""``zero-shot``: how alike a CLIP-type model finds an image and a sentence about each label, without any training."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from rrgbench import hub
from rrgbench.devices import pick_device
from rrgbench.errors import ImageError, UsageError
from rrgbench.labels import CHEXPERT
from rrgbench.planning import context
from rrgbench.thresholds import FittedThresholds, checked
from rrgbench.types import Context, Failure, Finding, Findings, Image, Status, Study
from rrgbench_timm import cabs, clip_folder, pixels, predicting
from rrgbench_timm.saliency import over_image
from rrgbench_timm.vocabularies import of_labels


class ZeroShot:
    """Findings by the likeness of an image and a sentence, as a model of transformers (CLIP, SigLIP) sees it.

    ``model`` is its name on the hub, or ``folder`` where it lies. ``prompt`` says that a label is there (RadZero's
    "There is X"), and ``negative``, if given, that it is not; CheXzero's (Tiu et al., Nature Biomedical Engineering
    2022) are ``{label}`` and ``no {label}``. Labels are written small in them.

    The probability, of the cosine c of image and prompt, and the model's own scale and bias:

    - with ``negative``: the softmax over the two, sigmoid(scale (c - c of the negative)). CheXzero's code leaves out
      the scale, which gives the same order;
    - SigLIP, which was trained so: sigmoid(scale c + bias);
    - CLIP with one prompt has none. (1 + c) / 2 keeps the order, and so the AUROC: read nothing else into it.

    ``pooling=cls`` takes the model's own image embedding. ``cabs`` pools CLIP's image tokens for each prompt as RadZero
    does, which was trained for it; other models were not. Then ``saliency`` gives maps, too. RadZero's own network is
    none of transformers, and the code on the hub that it needs is not run.

    ``threshold`` is a number, or ``fit``: the best F1 on the dataset's validation split or, where it has none,
    cross-fitted by patient, as the encoder ``findings`` does; 0.5 where no study has labels.
    """

    version = "1"
    needs = ("images",)
    neutral = ("batch", "device", "workers")

    def __init__(
        self,
        *,
        model: str | None = None,
        folder: Path | None = None,
        prompt: str = "There is {label}.",
        negative: str | None = None,
        labels: list[str] | None = None,
        pooling: Literal["cls", "cabs"] = "cls",
        threshold: float | Literal["fit"] = "fit",
        batch: int = 32,
        workers: int | None = None,
        device: str = "auto",
    ) -> None:
        for template in (prompt, negative):
            if template is not None and "{label}" not in template:
                raise UsageError(f"A prompt says where the label stands, as in 'There is {{label}}.': {template!r}.")
        if batch < 1:
            raise UsageError(f"The batch must be at least 1, not {batch}.")
        self.vocabulary = of_labels(labels or CHEXPERT.labels)
        self._templates = [template for template in (prompt, negative) if template is not None]
        if (model is None) == (folder is None):
            raise UsageError("zero-shot needs a model: model=NAME, of the hub, or folder=FOLDER.")
        self._folder = clip_folder.locate(str(folder or model))
        self._pooling = pooling
        self._threshold = threshold if threshold == "fit" else checked(float(threshold), "threshold=")
        self.batch, self._workers, self._device_name = batch, workers, device
        self._fitted: FittedThresholds | None = None
        self._fitted_on: list[str] = []

    @property
    def signature(self) -> str:
        """The digest of the weights, and of the fitted thresholds."""
        model = f"model:{hub.revision(self._folder, clip_folder.WEIGHTS)}"
        return f"{model}|thresholds:{self._fitted.digest[:12]}" if self._fitted else model

    @property
    def thresholds(self) -> Mapping[str, float]:
        """By label. Raises UsageError for fitted ones, which may differ from patient to patient."""
        if self._threshold == "fit":
            raise UsageError("zero-shot with threshold=fit can't be a member of an ensemble: give it a number.")
        return dict.fromkeys(self.vocabulary.labels, float(self._threshold))

    def calibrate(self, studies: Sequence[Study]) -> list[str]:
        """Fit the thresholds on labelled studies, which are encoded for it, where ``threshold=fit``. Warnings."""
        ids = [study.study_id for study in studies]
        if self._threshold != "fit" or (self._fitted is not None and ids == self._fitted_on):
            return []
        labelled = [study for study in studies if study.labels is not None]
        if not labelled:
            self._fitted = None
            return ["zero-shot: there are no labelled studies to fit thresholds on; present is from 0.5 on"]
        rows = chain.from_iterable(self._probabilities([context(study, self.needs) for study in labelled]))
        found = {
            study.study_id: dict(zip(self.vocabulary.labels, row.tolist(), strict=True))
            for study, row in zip(labelled, rows, strict=True)
            if not isinstance(row, Failure)
        }
        self._fitted = FittedThresholds("zero-shot", studies, self.vocabulary, found)
        self._fitted_on = ids
        return self._fitted.warnings

    def encode(self, contexts: Sequence[Context]) -> list[Findings | Failure]:
        """Findings of each context's first frontal image (of its first image, where all are lateral)."""
        return [found for some in self.stream(contexts) for found in some]

    def stream(self, contexts: Iterable[Context]) -> Iterator[list[Findings | Failure]]:
        """The same, while images are read ahead."""
        ids: deque[str] = deque()

        def named() -> Iterator[Context]:
            for seen in contexts:
                ids.append(seen.study_id)
                yield seen

        for rows in self._probabilities(named()):
            seen = [(ids.popleft(), row) for row in rows]
            yield [row if isinstance(row, Failure) else self._findings(study_id, row) for study_id, row in seen]

    def saliency(
        self, contexts: Sequence[Context], labels: Sequence[str], method: str
    ) -> list[dict[str, npt.NDArray[np.float32]] | Failure]:
        """Where ``pooling=cabs`` looks: the sigmoid of each token's similarity with the prompt (``similarity``).

        A map has the image's own aspect, and as many values on its longer side as the network's input.
        """
        if method != "similarity" or self._pooling != "cabs":
            raise UsageError("zero-shot gives maps by method=similarity with pooling=cabs only.")
        if unknown := [label for label in labels if label not in self.vocabulary]:
            raise UsageError(f"zero-shot was not asked for {unknown[0]!r}: {', '.join(self.vocabulary.labels)}.")
        return [self._map(seen, [self.vocabulary.labels.index(label) for label in labels], labels) for seen in contexts]

    @cached_property
    def _clip(self) -> clip_folder.Clip:
        clip = clip_folder.load(self._folder, pick_device(self._device_name))
        if self._pooling == "cabs" and clip.project is None:
            raise UsageError(f"pooling=cabs needs image tokens in the space of texts, which {self._folder} has not.")
        return clip

    @cached_property
    def _texts(self) -> torch.Tensor:
        """The embeddings of the prompts, those of the first template first: (prompts, dim)."""
        written = [template.replace("{label}", label.lower()) for template in self._templates for label in self._labels]
        return clip_folder.texts(self._clip, written)

    @property
    def _labels(self) -> tuple[str, ...]:
        return self.vocabulary.labels

    def _probabilities(self, contexts: Iterable[Context]) -> Iterator[list[npt.NDArray[np.float64] | Failure]]:
        """The probability of each label, shape (labels,), by the batch."""
        clip = self._clip
        cosines = predicting.batches(
            map(predicting.looked_at, contexts),
            partial(pixels.read, size=clip.size),
            lambda grey: self._compared(grey)[0],
            device=clip.device,
            batch=self.batch,
            workers=self._workers,
        )
        for rows in cosines:
            yield [
                row if isinstance(row, Failure) else self._as_probability(row.reshape(len(self._templates), -1))
                for row in rows
            ]

    def _compared(self, grey: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The cosine of each picture with each prompt, (batch, prompts), and that of its tokens where they are used."""
        pooled, tokens = clip_folder.images(self._clip, grey, tokens=self._pooling == "cabs")
        if tokens is not None:
            return cabs.pooled(self._texts, tokens, 1 / self._clip.scale)
        unit = torch.nn.functional.normalize(pooled, dim=-1)
        return unit @ torch.nn.functional.normalize(self._texts, dim=-1).T, None

    def _as_probability(self, cosine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """From cosines, shape (templates, labels)."""
        if len(cosine) == 2:
            logit = self._clip.scale * (cosine[0] - cosine[1])
        elif self._clip.bias is not None:
            logit = self._clip.scale * cosine[0] + self._clip.bias
        else:
            share: npt.NDArray[np.float64] = np.clip((1 + cosine[0]) / 2, 0.0, 1.0)
            return share
        out: npt.NDArray[np.float64] = np.exp(-np.logaddexp(0.0, -logit))
        return out

    def _findings(self, study_id: str, row: npt.NDArray[np.float64]) -> Findings:
        limits = self._fitted.of(study_id) if self._fitted else {}
        fixed = 0.5 if self._threshold == "fit" else self._threshold
        by_label = {}
        for label, p in zip(self._labels, row.tolist(), strict=True):
            present = p >= limits.get(label, fixed)
            by_label[label] = Finding(label, Status.PRESENT if present else Status.ABSENT, p)
        return Findings(self.vocabulary, by_label)

    def _map(
        self, seen: Context, columns: Sequence[int], labels: Sequence[str]
    ) -> dict[str, npt.NDArray[np.float32]] | Failure:
        image = pixels.frontal(seen.images)
        if image is None:
            return Failure("image", f"The study {seen.study_id} has no image.")
        try:
            whole = image.read()
            grey = pixels.read(Image(image.image_id, lambda: whole, image.fingerprint), self._clip.size)
        except ImageError as error:
            return Failure("image", str(error))
        with torch.inference_mode():
            _, similarity = self._compared(torch.from_numpy(grey)[None].to(self._clip.device))
            assert similarity is not None  # pooling=cabs
            cells = math.isqrt(similarity.shape[-1] - 1)
            found = (
                similarity[0, list(columns), 1:].sigmoid().view(len(columns), cells, cells)
            )  # without the class token
            over = over_image(found, (whole.shape[0], whole.shape[1]), self._clip.size).cpu().numpy()
        return {label: over[at].copy() for at, label in enumerate(labels)}
