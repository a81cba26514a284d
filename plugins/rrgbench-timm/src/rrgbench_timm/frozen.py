"""Frozen features of studies: computed once by any encoder that has ``features``, kept in files while they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from rrgbench.encoding import BATCH, failing
from rrgbench.errors import FAULTS, RRGBenchError, RunError, UsageError
from rrgbench.planning import context
from rrgbench.types import Context, Failure, Image, Study

Features = npt.NDArray[np.float32]
Log = Callable[[dict[str, Any]], None]


class View(NamedTuple):
    """Which features: the class tokens of the last ``blocks`` blocks and, with ``average``, the mean patch token.

    One block without the average is what the encoder's own head sees.
    """

    blocks: int = 1
    average: bool = False


class Backbone(Protocol):
    """An encoder that gives its features: an array of shape (d,) or a failure for each context, in order."""

    version: str
    needs: tuple[str, ...]

    def features(self, contexts: Sequence[Context], blocks: int = 1, average: bool = False) -> list[Features | Failure]:
        """What a probe is fitted on."""


@dataclass(frozen=True)
class Frozen:
    """The features of several splits' studies, one split after the other.

    ``stored`` holds the rows of ``HEAD`` and of the deepest view, each of shape (studies, width). ``targets``, shape
    (studies, labels), are 1, 0 and NaN. ``rows`` says which are each split's, ``skipped`` why a study has none.
    """

    stored: Mapping[View, Features]
    targets: npt.NDArray[np.float32]
    rows: Mapping[str, slice]
    skipped: Mapping[str, tuple[str, ...]]

    def of(self, view: View, split: str | None = None) -> Features:
        """The features of a view, shape (studies, width), of one split or of all, read from their file when used."""
        rows = self.rows[split] if split else slice(None)
        if view in self.stored:
            return self.stored[view][rows]
        deepest = max(self.stored)
        width = self.stored[deepest].shape[1] // (deepest.blocks + 1)  # class tokens, then the mean patch token
        columns = slice((deepest.blocks - view.blocks) * width, (deepest.blocks + view.average) * width)
        return self.stored[deepest][rows, columns]


HEAD = View()


def features(encoder: Backbone, contexts: Sequence[Context], view: View) -> list[Features | Failure]:
    """An encoder's features; what it raises costs only the studies that raise it alone, too, and so do NaNs."""
    if not contexts:
        return []
    try:
        found = encoder.features(contexts, blocks=view.blocks, average=view.average)
        if len(found) != len(contexts):
            raise ValueError(f"the encoder gave {len(found)} features for {len(contexts)} studies")
    except (UsageError, RunError):
        raise  # the encoder can't work as it was asked for, or not here: no study's fault
    except FAULTS as error:
        if len(contexts) == 1:
            return [failing(error, "encoder")]
        return [each for seen in contexts for each in features(encoder, [seen], view)]
    return [_checked(each) for each in found]


def reference(encoder: Backbone, view: View) -> Features:
    """The features of a drawn image, by which an encoder is known again. Raises RRGBenchError."""
    (found,) = features(encoder, [Context("reference", images=(_REFERENCE,))], view)
    if isinstance(found, Failure):
        raise RRGBenchError(f"The encoder gives no features of a drawn image: {found.message}")
    return found


def gather(
    encoder: Backbone,
    splits: Mapping[str, Iterable[Study]],
    targets: Callable[[Sequence[Study]], npt.NDArray[np.float32]],
    views: Sequence[View],
    folder: Path,
    *,
    limit: int | None,
    log: Log,
) -> Frozen:
    """The features of each split's studies, into files in ``folder``; memory holds one batch of images.

    Every view but ``HEAD`` is a part of the deepest, so an encoder runs at most twice an image, which is read once. A
    study without images, known labels or features is left out. Raises UsageError where fewer than two are left.
    """
    deepest = View(max(view.blocks for view in views), average=True)
    needed = [*([HEAD] if HEAD in views else []), *([deepest] if set(views) - {HEAD} else [])]
    widths: dict[View, int] = {}
    kept: list[npt.NDArray[np.float32]] = []
    rows: dict[str, slice] = {}
    skipped: dict[str, tuple[str, ...]] = {}
    with ExitStack() as stack:
        files = {view: stack.enter_context((folder / f"{i}.f32").open("wb")) for i, view in enumerate(needed)}
        for split, studies in splits.items():
            before, why = len(kept), []
            source = islice(studies, limit)
            while batch := list(islice(source, BATCH)):
                target = targets(batch)
                known = [not np.isnan(row).all() for row in target]
                seen = [context(study, encoder.needs) for study, there in zip(batch, known, strict=True) if there]
                held = [_held(each) for each in seen]
                found = zip(*(features(encoder, held, view) for view in needed), strict=True)
                for study, row, there in zip(batch, target, known, strict=True):
                    each = next(found) if there else [Failure("labels", "it has no label that is known")]
                    if failure := next((one for one in each if isinstance(one, Failure)), None):
                        why.append(f"{study.study_id}: {failure.message}")
                        continue
                    for view, one in zip(needed, each, strict=True):
                        assert not isinstance(one, Failure)
                        if widths.setdefault(view, len(one)) != len(one):
                            raise UsageError(
                                f"The encoder gives {len(one)} features of the study {study.study_id} and"
                                f" {widths[view]} of others."
                            )
                        one.astype(np.float32).tofile(files[view])
                    kept.append(row)
            rows[split], skipped[split] = slice(before, len(kept)), tuple(why)
            log({"stage": "read", "split": split, "studies": len(kept) - before, "skipped": why})
            if len(kept) - before < 2:
                first = f" The first that was skipped: {why[0]}." if why else ""
                raise UsageError(f"The {split} split has {len(kept) - before} studies to use; 2 are needed.{first}")
    stored = {
        view: np.memmap(folder / f"{i}.f32", np.float32, "r", shape=(len(kept), widths[view]))
        for i, view in enumerate(needed)
    }
    return Frozen(stored, np.stack(kept).astype(np.float32), rows, skipped)


def _checked(found: Features | Failure) -> Features | Failure:
    if not isinstance(found, Failure) and not np.isfinite(found).all():
        return Failure("encoder", "its features are not finite numbers")
    return found


def _held(seen: Context) -> Context:
    """The context, whose images are read once however often they are asked for."""
    return replace(seen, images=tuple(replace(image, read=cache(image.read)) for image in seen.images))


def _drawn() -> npt.NDArray[np.float32]:
    down, across = np.indices((256, 256))
    return (0.5 + 0.25 * np.sin(across / 9.0) + 0.25 * np.cos(down / 13.0) * across / 256).astype(np.float32)


_REFERENCE = Image("reference", _drawn, lambda: "reference", "PA")
