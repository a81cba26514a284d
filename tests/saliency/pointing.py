"""An encoder whose maps are known: they show the truth's boxes, or what lies across from them, or break a rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rrgbench import hookimpl, hookspecs
from rrgbench.errors import UsageError
from rrgbench.labels import CHEXPERT, translate
from rrgbench.types import Context, Failure, Finding, Findings, Status

Maps = dict[str, npt.NDArray[np.float32]]
CELLS = 40


class Plugin:
    """Registers it, as a plugin's module would."""

    name = value = "pointing"
    dist = None

    def load(self) -> object:
        return self

    @hookimpl
    def rrgbench_register_encoders(self, register: hookspecs.Register) -> None:
        register("pointing", "tests.saliency.pointing:Pointing")


class Pointing:
    """Calls the truth's labels present; ``fail`` names studies whose maps it can't make."""

    version = "1"
    needs = ("images", "labels")

    def __init__(
        self,
        at: Literal["boxes", "across", "nowhere"] = "boxes",
        fail: list[str] | None = None,
        gives: Literal["maps", "negative", "few"] = "maps",
        terms: str = "open",
        weights: Path | None = None,
    ) -> None:
        self._at, self._fail, self._gives, self.terms = at, fail or [], gives, terms

    def encode(self, contexts: Sequence[Context]) -> list[Findings | Failure]:
        return [self._findings(context) for context in contexts]

    def saliency(self, contexts: Sequence[Context], labels: Sequence[str], method: str) -> list[Maps | Failure]:
        if method != "grad-cam":
            raise UsageError(f"no {method} here")
        return [self._maps(context, labels) for context in contexts][: 1 if self._gives == "few" else None]

    def _findings(self, context: Context) -> Findings | Failure:
        if f"blind-{context.study_id}" in self._fail:
            return Failure("image", "too dark")
        truth = translate(context.labels, CHEXPERT).by_label if context.labels else {}
        assessed = [label for label in CHEXPERT.labels if label != "Fracture"]
        present = {label for label, finding in truth.items() if finding.status is Status.PRESENT}
        found = {
            label: Finding(
                label, Status.PRESENT if label in present else Status.ABSENT, 0.9 if label in present else 0.1
            )
            for label in assessed
        }
        return Findings(CHEXPERT, found)

    def _maps(self, context: Context, labels: Sequence[str]) -> Maps | Failure:
        if context.study_id in self._fail:
            raise RuntimeError("no map of this one")
        truth = translate(context.labels, CHEXPERT).by_label if context.labels else {}
        out = {label: np.zeros((CELLS, CELLS), np.float32) for label in labels}
        for label, values in out.items():
            boxes: Any = truth[label].boxes if label in truth else ()
            for box in boxes if self._at != "nowhere" else ():
                y, x = (
                    slice(round(a * CELLS), round((a + b) * CELLS))
                    for a, b in ((box.y, box.height), (box.x, box.width))
                )
                values[y, x] = 1
            if self._at == "across":
                values[:] = 1 - values
            if self._gives == "negative":
                values -= 2
        return out
