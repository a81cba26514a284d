"""A training from studies to a checkpoint: targets, pictures, network, loop, thresholds, file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rrgbench import calibration
from rrgbench.cache import digest
from rrgbench.errors import UsageError
from rrgbench.types import Study
from rrgbench_timm import adapting, checkpoint, data, losses, models, resuming, targets
from rrgbench_timm.data import Split, Target
from rrgbench_timm.judging import Array, judge, predict, varied
from rrgbench_timm.loop import Training
from rrgbench_timm.networks import Network, Scale
from rrgbench_timm.processes import Processes, joined
from rrgbench_timm.recipe import Recipe
from rrgbench_timm.task import STATE, Log, Standing, Task
from rrgbench_timm.teaching import named, taught

_FIRST, _PROBABILITIES = "u-ignore", "probabilities.safetensors"  # the folder of U-SelfTrained's first training
_NO_MATTER = ("workers", "save_minutes", "licence", "teacher")  # to the weights; what a teacher gives is in the targets


@dataclass(frozen=True)
class Fitted:
    """What a training gives: a checkpoint's file, card and tensors, scores on validation, each epoch's figures."""

    path: Path
    card: checkpoint.Card
    state: checkpoint.State
    scores: dict[str, float]
    history: list[dict[str, float]]


def fit(
    network: Network,
    train: Iterable[Study],
    validate: Iterable[Study],
    folder: Path,
    recipe: Recipe,
    *,
    device: str,
    provenance: Mapping[str, Any],
    log: Log,
) -> Fitted:
    """Train on ``train``, choose the epoch, the calibration and the thresholds on ``validate``, write the checkpoint.

    Writes checkpoint.safetensors, history.csv, schedule.csv and tensorboard/ under ``folder``, and, while it is under
    way, resume.safetensors, from which the same call goes on. Where several processes were started together, each calls
    this, and the first alone writes and logs. The same seed, data, machine and number of processes give the same bytes
    on a CPU. Raises UsageError for what can't be learned from, RunError where training fails.
    """
    if network.seed < 0:
        raise UsageError(f"The seed of a training is at least 0, not {network.seed}.")
    task, teaching = _task(network, train, validate, folder, recipe, joined(device), log)
    if recipe.uncertain == "U-SelfTrained" and recipe.teacher is None:
        probability = _first_phase(network, task)
        task = replace(task, learn=replace(task.learn, target=targets.self_trained(task.learn.target, probability)))
    model, standing = _train(network, task)
    state = {name: _stored(tensor, recipe.stored) for name, tensor in model.state_dict().items()}
    models.set_state(model, state)  # it is judged as it is stored
    logits = predict(model, task.validate, task.scale, len(task.labels), task.processes)
    found = judge(task.labels, varied(task.learn.target), task.validate.readable(), logits, recipe)
    name, model_args = models.described(network.name, network.model_args, model)
    splits = (task.learn, task.validate)
    card = checkpoint.Card(
        format=1,
        model=name,
        model_args=model_args,
        size=network.size,
        in_chans=network.channels,
        mean=list(task.scale[0]),
        std=list(task.scale[1]),
        labels=list(task.labels),
        thresholds=found.thresholds,
        calibration=found.calibration,
        training={
            "provenance": dict(provenance),
            "started_from": network.started_from,
            "recipe": _recorded(recipe),
            "seed": network.seed,
            "epoch": standing.best_epoch,
            "studies": {split.name: len(split) for split in splits},
            "skipped": {split.name: len(split.skipped) for split in splits},
            "versions": {package: version(package) for package in ("torch", "timm")},
            "validate": found.scores,
            **teaching,  # type: ignore[typeddict-item]
        },
        terms=_terms(network, recipe, provenance),
        licence=recipe.licence,
        normalise=network.normalise,
    )
    path = folder / "checkpoint.safetensors"
    if task.processes.main:
        checkpoint.write(path, card, state)
        for done in (folder / STATE, folder / _FIRST / STATE, folder / _FIRST / _PROBABILITIES):
            resuming.remove(done)
    task.processes.wait()
    return Fitted(path, card, state, found.scores, standing.history)


def _task(
    network: Network,
    train: Iterable[Study],
    validate: Iterable[Study],
    folder: Path,
    recipe: Recipe,
    processes: Processes,
    log: Log,
) -> tuple[Task, dict[str, Any]]:
    """Targets and pictures of both splits, and what is to be done with them; and what a teacher had to do with them."""
    if recipe.batch < 2 * processes.count:
        raise UsageError(f"A batch of {recipe.batch} is too small for {processes.count} processes: 2 each are needed.")
    say = log if processes.main else _nothing
    learners = list(islice(train, recipe.limit))
    target = targets.of_studies(learners, network.vocabulary, recipe.uncertain, recipe.blank)
    teaching: dict[str, Any] = {}
    if recipe.teacher is not None:
        target, teaching = taught(recipe.teacher, learners, target, network.vocabulary, recipe, processes)
        say({"stage": "teach", **teaching})
    learn = _gather("train", learners, target, network, recipe, processes, say)
    judges = list(islice(validate, recipe.limit))
    # What is uncertain judges nothing, whatever is learned from it.
    truth = targets.of_studies(judges, network.vocabulary, "U-Ignore", recipe.blank)
    check = _gather("validate", judges, truth, network, recipe, processes, say)
    judged = varied(learn.target) & varied(check.target)
    if not judged.any():
        raise UsageError(
            "No label stands both present and absent in both splits, train and validate: nothing to learn."
        )
    scale = network.scale or _own_scale(learn)
    hangs_on = {name: value for name, value in _recorded(recipe).items() if name not in _NO_MATTER}
    of_network = [network.name, dict(network.model_args), network.size, network.channels, network.normalise]
    of_data = [[list(split.ids), hashlib.sha256(split.target.tobytes()).hexdigest()] for split in (learn, check)]
    task = Task(
        learn=learn,
        validate=check,
        labels=network.vocabulary.labels,
        judged=judged,
        scale=scale,
        recipe=recipe,
        seed=network.seed,
        digest=digest(
            of_network, network.started_from, network.seed, scale, network.vocabulary.labels, of_data, hangs_on
        ),
        folder=folder,
        processes=processes,
        log=say,
    )
    return task, teaching


def _gather(
    name: str,
    studies: Sequence[Study],
    target: Target,
    network: Network,
    recipe: Recipe,
    processes: Processes,
    say: Log,
) -> Split:
    split = data.gather(
        name,
        studies,
        target,
        size=network.size,
        adjust=network.adjust,
        workers=recipe.workers,
        processes=processes,
    )
    say({"stage": "read", "split": name, "studies": len(split), "skipped": split.skipped})
    return split


def _first_phase(network: Network, task: Task) -> Array:
    """U-SelfTrained: train under U-Ignore, and give that network's probabilities, shape (studies, labels)."""
    folder, say = task.folder / _FIRST, task.log
    kept = resuming.load(folder / _PROBABILITIES, task.digest)
    if not isinstance(kept, str):
        return kept[1]["probability"].numpy()
    certain = np.where(task.learn.target == targets.UNCERTAIN, np.nan, task.learn.target)
    first = replace(
        task,
        learn=replace(task.learn, target=certain),
        folder=folder,
        log=lambda event: say({**event, "phase": "U-Ignore"}),
    )
    model, _ = _train(network, first)
    logits = predict(model, task.learn, task.scale, len(task.labels), task.processes)
    probability = calibration.apply(logits)
    if task.processes.main:
        resuming.save(folder / _PROBABILITIES, task.digest, {}, {"probability": torch.from_numpy(probability)})
    return probability


def _train(network: Network, task: Task) -> tuple[torch.nn.Module, Standing]:
    """The network with the best epoch's weights, with a plain head and plain names, and how its training went."""
    recipe, labels = task.recipe, len(task.labels)
    multiclass = recipe.uncertain == "U-MultiClass"
    outputs = losses.CLASSES * labels if multiclass else labels
    model = network.create(classes=outputs, dropout=recipe.dropout, drop_path=recipe.drop_path)
    if network.state:
        models.set_state(model, _widened(network.state, model, labels) if multiclass else network.state)
    adapting.freeze(model, recipe.freeze)
    if recipe.lora:
        adapting.add_lora(model, recipe.lora, network.seed)
    best, standing = Training(model, task).run()
    model.load_state_dict(best)
    if recipe.lora:
        adapting.merge_lora(model)
    if multiclass:
        losses.collapse_head(model, labels)
    return model, standing


def _widened(state: checkpoint.State, model: torch.nn.Module, labels: int) -> checkpoint.State:
    """The tensors of a network of an output a label for one of U-MultiClass, which collapses into the same network."""
    out = dict(state)
    for name, tensor in model.state_dict().items():
        if name in state and len(tensor.shape) and tensor.shape[0] == losses.CLASSES * labels != len(state[name]):
            out[name] = np.zeros(tuple(tensor.shape), state[name].dtype)
            out[name][1 :: losses.CLASSES] = state[name]
    return out


def _own_scale(split: Split) -> Scale:
    """The mean and the standard deviation of a split's own grey levels, for a network of one channel."""
    share, level = split.pictures.levels(), np.arange(256) / 255
    mean = float(share @ level)
    spread = float(share @ (level - mean) ** 2) ** 0.5
    return (mean,), (max(spread, 1e-3),)


def _recorded(recipe: Recipe) -> dict[str, Any]:
    """A recipe as JSON can hold it."""
    out = {each.name: getattr(recipe, each.name) for each in fields(recipe)}
    return {**out, "teacher": None if recipe.teacher is None else named(recipe.teacher)}


def _terms(network: Network, recipe: Recipe, provenance: Mapping[str, Any]) -> Any:
    """The strictest of the data's terms and of those that bind the weights it started from, and its teacher's."""
    cards = [network.card, getattr(recipe.teacher, "card", None)]
    if network.start is not None:
        with suppress(UsageError):  # a foreign file says nothing of terms
            cards.append(checkpoint.load(network.start)[0])
    return checkpoint.strictest([provenance.get("terms", "unknown"), *(card.terms for card in cards if card)])


def _stored(tensor: torch.Tensor, precision: str) -> npt.NDArray[Any]:
    # Matrices make up the size; vectors (norms, biases, running statistics) stay as they are.
    if precision == "fp16" and tensor.is_floating_point() and tensor.ndim > 1:
        tensor = tensor.half()
    return tensor.cpu().contiguous().numpy()


def _nothing(event: dict[str, Any]) -> None:
    """What a process that isn't the main one logs."""
