"""What is learned of each label of each study: from its labels, and from a teacher's probabilities.

A target is 1 present, 0 absent, between them a probability, 2 uncertain, NaN what is not known and not learned from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from rrgbench import uncertain as policies
from rrgbench.labels import translate
from rrgbench.types import Failure, Finding, Findings, Status, Study, Vocabulary
from rrgbench_timm.recipe import Uncertain

UNCERTAIN = 2.0


def of_studies(
    studies: Iterable[Study], vocabulary: Vocabulary, uncertain: Uncertain, blank: policies.Blank
) -> npt.NDArray[np.float32]:
    """The targets of studies, shape (studies, labels), translated to ``vocabulary``.

    ``uncertain`` and ``blank`` as in rrgbench.uncertain.targets; under ``U-SelfTrained`` an uncertain label is 2 until
    ``self_trained`` gives it the teacher's probability. Blank is a label of the study's own vocabulary that nothing is
    said of. What that vocabulary has no word for was not assessed, and is NaN whatever ``blank`` is; so is all of a
    study without labels.
    """
    policy: policies.Policy = "U-MultiClass" if uncertain == "U-SelfTrained" else uncertain
    rows = [_row(study.labels, vocabulary, policy, blank) for study in studies]
    return np.array(rows, dtype=np.float32).reshape(len(rows), len(vocabulary))


def _row(
    labels: Findings | None, vocabulary: Vocabulary, policy: policies.Policy, blank: policies.Blank
) -> npt.NDArray[np.float64]:
    out = np.full(len(vocabulary), policies.IGNORED)
    if labels is not None:
        # Blanks are said before translating: a label that stands for several is blank only if none of them is present.
        own = labels.vocabulary
        blanks = {label: Finding(label, Status.NOT_MENTIONED) for label in own.labels}
        known = translate(Findings(own, {**blanks, **labels.by_label}), vocabulary)
        at = [column for column, label in enumerate(vocabulary.labels) if label in known.by_label]
        out[at] = policies.targets((finding.status for finding in known), policy, blank=blank)
    return out


def of_teacher(found: Sequence[Findings | Failure], vocabulary: Vocabulary) -> npt.NDArray[np.float64]:
    """What a teacher (an encoder's ``encode``) gives as probability of each label, shape (studies, labels).

    NaN where it says nothing: a study it failed at, a label that it does not know or gives no probability of.
    """
    out = np.full((len(found), len(vocabulary)), np.nan)
    for row, findings in zip(out, found, strict=True):
        if isinstance(findings, Findings):
            known = translate(findings, vocabulary).by_label
            for column, label in enumerate(vocabulary.labels):
                if label in known and (p := known[label].probability) is not None:
                    row[column] = p
    return out


def self_trained(target: npt.NDArray[np.float32], probability: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """U-SelfTrained: the uncertain ones, 2, become the teacher's probability, NaN where it has none; all else stays.

    Irvin et al. (AAAI 2019), section 3: a model trained under U-Ignore relabels the uncertain labels with its
    probabilities, and never those that are 0 or 1. Both of shape (studies, labels).
    """
    return np.where(target == UNCERTAIN, probability, target).astype(np.float32)


def distilled(
    target: npt.NDArray[np.float32], probability: npt.NDArray[np.floating], weight: float
) -> npt.NDArray[np.float32]:
    """Targets mixed with a teacher's probabilities: (1 - weight) target + weight probability, shape (studies, labels).

    This is the loss of Hinton et al., "Distilling the Knowledge in a Neural Network" (2015), section 2, at temperature
    1: a cross-entropy is linear in its target, so mixed targets are mixed losses. Where the target is NaN, the
    teacher's probability is the target (there is nothing else to learn); where the probability is NaN, or the target is
    the class uncertain, 2, the target stays.
    """
    mixed = (1 - weight) * target + weight * probability
    out = np.where(np.isnan(target), probability, mixed)
    return np.where(np.isnan(probability) | (target == UNCERTAIN), target, out).astype(np.float32)
