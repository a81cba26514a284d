"""A teacher: an encoder whose probabilities become targets, or a part of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from rrgbench import progress
from rrgbench.encoding import encode
from rrgbench.errors import UsageError
from rrgbench.interfaces import Encoder
from rrgbench.parts import Part
from rrgbench.planning import context
from rrgbench.types import Failure, Study, Vocabulary
from rrgbench_timm import targets
from rrgbench_timm.data import Target
from rrgbench_timm.processes import Processes
from rrgbench_timm.recipe import Recipe


def taught(
    teacher: Encoder,
    studies: Sequence[Study],
    target: Target,
    vocabulary: Vocabulary,
    recipe: Recipe,
    processes: Processes,
) -> tuple[Target, dict[str, Any]]:
    """The targets that a teacher makes of the studies' own, and who taught how many; each process asks for its part.

    Raises UsageError where it teaches nothing.
    """
    mine = processes.mine(np.arange(len(studies)))
    contexts = [context(studies[row], teacher.needs) for row in mine]
    part = Part("encoder", "teacher", "teacher", teacher, "", {}, "teacher")
    with progress.stage("teach", len(contexts)) if processes.main else nullcontext(lambda _: None) as advance:
        found = encode(part, contexts, advance)
    answers = [found[seen.study_id][0] for seen in contexts]
    probability = np.zeros((len(studies), len(vocabulary)))
    probability[mine] = targets.of_teacher(answers, vocabulary)
    probability = processes.summed(torch.from_numpy(probability)).cpu().numpy()
    taught = int((~np.isnan(probability)).any(axis=1).sum())
    if not taught:
        why = next((each.message for each in answers if isinstance(each, Failure)), "it has none of their labels")
        raise UsageError(f"The teacher {named(teacher)} gives none of the {len(studies)} studies a probability: {why}.")
    if recipe.uncertain == "U-SelfTrained":
        out = targets.self_trained(target, probability)
    else:
        out = targets.distilled(target, probability, recipe.teacher_weight)
    return out, {"teacher": named(teacher), "taught": taught, "not taught": len(studies) - taught}


def named(teacher: Encoder) -> str:
    """Who teaches: the encoder's class, its version and its signature."""
    kind = type(teacher)
    return f"{kind.__module__}:{kind.__qualname__} {teacher.version} {getattr(teacher, 'signature', '')}".strip()
