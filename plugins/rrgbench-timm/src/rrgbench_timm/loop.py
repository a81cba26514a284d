"""The training loop. A step's draws hang on (seed, epoch, step) alone, so going on needs no generator's state."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rrgbench import progress
from rrgbench.errors import RunError, UsageError
from rrgbench.labels import snake
from rrgbench_timm import adapting, losses, predicting, resuming, sampling, schedules
from rrgbench_timm.augmenting import augmented
from rrgbench_timm.data import Split, to_device
from rrgbench_timm.judging import aurocs, predict
from rrgbench_timm.logs import Logs
from rrgbench_timm.task import STATE, Standing, Task

_MOMENTUM = 0.9  # of sgd
_SAVING = 0.05  # the share of the time that the states at the ends of epochs may take


class Training:
    """A training of ``model``, begun or gone on with from the state in the task's folder."""

    def __init__(self, model: torch.nn.Module, task: Task) -> None:
        recipe, self.task = task.recipe, task
        self.device = task.processes.device
        self.model = model.to(self.device)
        self.average = _average(model, recipe.ema) if recipe.ema else None
        self.best: dict[str, torch.Tensor] = {}
        self.standing = Standing(recipe.accumulate)
        groups = adapting.parameter_groups(model, recipe.lr, recipe.weight_decay, recipe.layer_decay)
        self.learning = [parameter for group in groups for parameter in group["params"]]
        self.optimiser: torch.optim.Optimizer
        if recipe.optimiser == "sgd":
            self.optimiser = torch.optim.SGD(groups, lr=recipe.lr, momentum=_MOMENTUM, nesterov=True)
        else:
            self.optimiser = torch.optim.AdamW(groups, lr=recipe.lr, fused=True)
        self.share = schedules.factor(recipe, task.steps)
        self.plateau = schedules.Plateau(recipe.decay, recipe.decay_epochs)
        self.loss = losses.elementwise(
            recipe.loss, recipe.gamma, task.learn.target, multiclass=recipe.uncertain == "U-MultiClass"
        )
        self.target = torch.from_numpy(task.learn.target)
        self.weights = sampling.rarity_weights(task.learn.target) if recipe.balance else None
        mean, std = (torch.tensor(values, device=self.device).view(1, -1, 1, 1) for values in task.scale)
        self.mean, self.std = mean, std
        norms = any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in model.modules())
        self.fewest = 2 if norms else 1  # studies of a pass: statistics of a batch need two
        self.saved_at, self.saving = time.monotonic(), 0.0
        self._go_on()

    def run(self) -> tuple[dict[str, torch.Tensor], Standing]:
        """Train to the end. The best epoch's weights, on the CPU, under the model's own names, and how it went.

        Raises RunError if the loss stops being a number, or if memory does not suffice for a step.
        """
        task, at, steps = self.task, self.standing, self.task.steps
        main = task.processes.main
        logs = Logs(task.folder, at.history, self._number()) if main else None
        total = task.recipe.epochs * steps
        bar = progress.stage("train", total, "steps", self._number()) if main else nullcontext(lambda _: None)
        try:
            with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []), bar as advance:
                while at.epoch <= task.recipe.epochs and not self._is_over():
                    self._epoch(logs, advance)
        except (RuntimeError, MemoryError) as error:
            if not predicting.out_of_memory(error):
                raise
            raise RunError(
                f"The memory of {self.device} does not suffice for training: the network with its gradients"
                f" and the optimiser's state needs more ({error}). Choose a smaller model or another device."
            ) from error
        finally:
            if logs:
                logs.close()
        return self.best, at

    def _number(self) -> int:
        """How many steps have been made."""
        return (self.standing.epoch - 1) * self.task.steps + self.standing.step

    def _is_over(self) -> bool:
        patience = self.task.recipe.patience
        return patience is not None and self.standing.epoch - 1 - self.standing.best_epoch >= patience

    def _epoch(self, logs: Logs | None, advance: progress.Advance) -> None:
        task, at = self.task, self.standing
        started = time.perf_counter()
        adapting.train_mode(self.model)
        order = sampling.order(len(task.learn.pictures), at.epoch, task.seed, self.weights)
        rows = [order[step * task.batch : (step + 1) * task.batch] for step in range(at.step, task.steps)]
        loss = torch.tensor(at.loss, dtype=torch.float64, device=self.device)
        for batch in task.learn.pictures.batches([task.processes.mine(some) for some in rows]):
            rate = task.recipe.lr * self.share(self._number()) * self.plateau.factor
            if logs:
                logs.rate(self._number(), rate)
            loss += self._step(rate, *batch)
            at.step += 1
            advance(1)
            if logs and time.monotonic() - self.saved_at >= 60 * task.recipe.save_minutes:
                at.loss = self._finite(loss)
                logs.flush()
                self._save()
        mean_loss = self._finite(loss) / task.steps
        of_labels, macro = self._judge()
        row = {
            "epoch": at.epoch,
            "train_loss": mean_loss,
            "auroc_macro": macro,
            **{f"auroc_{snake(name)}": of_labels[i] for i, name in enumerate(task.labels) if task.judged[i]},
            "seconds": time.perf_counter() - started,
        }
        at.history.append(row)
        if macro > at.best_score:
            at.best_epoch, at.best_score = at.epoch, macro
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in self._kept().state_dict().items()}
        if task.recipe.schedule == "plateau":
            self.plateau.step(macro)
        at.epoch, at.step, at.loss = at.epoch + 1, 0, 0.0
        if logs:
            logs.epoch(row, self._number())
            task.log({"stage": "epoch", "epochs": task.recipe.epochs, **row})
            if time.monotonic() - self.saved_at >= self.saving / _SAVING:
                self._save()

    def _step(
        self, rate: float, rows: npt.NDArray[np.int64], grey: npt.NDArray[np.uint8], readable: npt.NDArray[np.bool_]
    ) -> torch.Tensor:
        """One step of the optimiser, on the rows that are this process's; the mean loss of all processes', shape ()."""
        recipe, processes = self.task.recipe, self.task.processes
        seeds = np.random.SeedSequence([self.task.seed, self.standing.epoch, self.standing.step, processes.index])
        drawn, dropped = (int(seed) for seed in seeds.generate_state(2))
        target = self.target[rows]
        target[torch.from_numpy(~readable)] = math.nan
        target = target.to(self.device)
        x = to_device(grey, self.device)
        if recipe.augment:
            x = augmented(x, torch.Generator().manual_seed(drawn), recipe.mirror)
        # The mean is over all that is known in the step, so it doesn't matter into how many passes the step is parted.
        known = processes.summed((~torch.isnan(target)).sum()).clamp(min=1)
        while (loss := self._passes(x, target, known, dropped)) is None:
            self._smaller_passes(len(rows))
        loss = processes.sum_gradients(self.learning, loss)
        if recipe.clip:
            torch.nn.utils.clip_grad_norm_(self.learning, recipe.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["share"]
        self.optimiser.step()
        if self.average:
            self.average.update(self.model, self._number() + 1)
        return loss

    def _passes(self, x: torch.Tensor, target: torch.Tensor, known: torch.Tensor, seed: int) -> torch.Tensor | None:
        """Forwards and backwards in ``standing.passes`` pieces: the loss, shape (); None if memory did not suffice."""
        self.optimiser.zero_grad(set_to_none=True)
        torch.default_generator.manual_seed(seed)  # for dropout; torch.manual_seed asks each kind of device, slowly
        if self.device.type == "cuda":
            torch.cuda.manual_seed_all(seed)
        total = torch.zeros((), device=self.device)
        passes = max(1, min(self.standing.passes, len(x) // self.fewest))
        try:
            for part, of_part in zip(x.tensor_split(passes), target.tensor_split(passes), strict=True):
                scaled = ((part - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.task.recipe.precision == "bf16"):
                    logits = self.model(scaled)
                loss = self.loss(logits, of_part).sum() / known
                loss.backward()
                total += loss.detach()
        except (RuntimeError, MemoryError) as error:
            if not predicting.out_of_memory(error):
                raise
            return None
        return total

    def _smaller_passes(self, studies: int) -> None:
        """Part steps into twice as many passes. Raises RunError where they can't be smaller."""
        self.optimiser.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.standing.passes * self.fewest >= studies:
            raise RunError(
                f"The memory of {self.device} does not suffice for training, with as few at once as {self.fewest}."
                " Choose a smaller model or size, freeze layers, or take another device."
            )
        self.standing.passes *= 2
        at_once = -(-studies // self.standing.passes)
        self.task.log({"stage": "out of memory", "studies at once": at_once, "passes a step": self.standing.passes})

    def _judge(self) -> tuple[list[float], float]:
        """The AUROC of each label on validation, and the mean of those that are judged."""
        task, processes = self.task, self.task.processes
        processes.share_buffers(self.model)
        if self.average:
            processes.share_buffers(self.average.module)
        logits = predict(self._kept(), task.validate, task.scale, len(task.labels), processes, task.recipe.precision)
        for split in (task.learn, task.validate):
            self._note_unreadable(split)
        if not np.isfinite(logits).all():
            raise RunError(f"Training diverged in epoch {self.standing.epoch}: a logit is no number. Try a smaller lr.")
        of_labels = aurocs(task.validate.readable(), logits)
        judged = of_labels[task.judged]
        if np.isnan(judged).all():
            raise UsageError("No label stands both present and absent among the validate studies that could be read.")
        return of_labels.tolist(), float(np.nanmean(judged))

    def _note_unreadable(self, split: Split) -> None:
        """Log the studies of a split that turned out to be unreadable, and go on without them if two are left."""
        pictures, told = split.pictures, dict(self.standing.unreadable.get(split.name, []))
        pictures.unreadable = dict(sorted(self.task.processes.gathered(list(pictures.unreadable.items()))))
        new = [why for row, why in pictures.unreadable.items() if row not in told]
        self.standing.unreadable[split.name] = list(pictures.unreadable.items())
        if new:
            self.task.log({"stage": "unreadable", "split": split.name, "skipped": new})
            split.check()

    def _kept(self) -> torch.nn.Module:
        """The model whose weights count: the average, where there is one."""
        return self.average.module if self.average else self.model

    def _finite(self, loss: torch.Tensor) -> float:
        value = loss.item()
        if not math.isfinite(value):
            raise RunError(f"Training diverged in epoch {self.standing.epoch}: the loss is {value}. Try a smaller lr.")
        return value

    def _save(self) -> None:
        started = time.monotonic()
        self.standing.plateau = self.plateau.state()
        tensors = {**resuming.of_model(self.model, "model"), **resuming.of_optimiser(self.optimiser)}
        if self.average:
            tensors |= resuming.of_model(self.average.module, "average")
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        resuming.save(self.task.folder / STATE, self.task.digest, asdict(self.standing), tensors)
        self.saved_at = time.monotonic()
        self.saving = self.saved_at - started

    def _go_on(self) -> None:
        """Take up the state that a killed training of the same kind has left, if there is one."""
        found = resuming.load(self.task.folder / STATE, self.task.digest)
        if isinstance(found, str):
            if found:
                self.task.log({"stage": "resume", "note": found})
            return
        standing, tensors = found
        self.standing = at = Standing(**standing)
        self.model.load_state_dict(resuming.taken(tensors, "model"))
        if self.average:
            self.average.module.load_state_dict(resuming.taken(tensors, "average"))
        self.best = resuming.taken(tensors, "best")
        resuming.to_optimiser(self.optimiser, tensors)
        self.plateau = schedules.Plateau.of(at.plateau)
        for split in (self.task.learn, self.task.validate):
            split.pictures.unreadable = dict(at.unreadable.get(split.name, []))
        self.task.log({"stage": "resume", "epoch": at.epoch, "step": at.step})


def _average(model: torch.nn.Module, decay: float) -> Any:
    # timm's, with its warm-up: the first steps' weights would otherwise count long after they were left behind.
    from timm.utils import ModelEmaV3

    return ModelEmaV3(model, decay=decay, use_warmup=True)
