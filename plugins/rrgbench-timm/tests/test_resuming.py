"""A training that was killed and is started again with the same arguments ends as one that never was."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from rrgbench_timm import data, resuming
from rrgbench_timm.encoder import TimmEncoder
from rrgbench_timm.loop import STATE
from rrgbench_timm.recipe import Recipe

from rrgbench.types import Checkpoint, Study

HERE = Path(__file__).parent


def rows(folder: Path) -> list[dict[str, str]]:
    """history.csv, but for the seconds."""
    with (folder / "history.csv").open(encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def test_a_killed_training_ends_as_one_that_never_was(tmp_path: Path) -> None:
    """Killed in the midst of its third epoch, by the signal that no process can catch."""
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(HERE)!r})
        import torch
        from conftest import studies
        from rrgbench_timm.encoder import TimmEncoder
        from rrgbench_timm.recipe import Recipe
        torch.set_num_threads(1)
        recipe = Recipe(epochs=6, batch=8, ema=0.9, dropout=0.1, save_minutes=0)
        encoder = TimmEncoder(preset="cnn", model="test_resnet", checkpoint=None, size=64)
        encoder.fit(studies(64, 1), studies(16, 2), Path(sys.argv[1]), recipe)
        """)
    )
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = [sys.executable, str(script)]
    subprocess.run([*command, str(whole)], check=True, capture_output=True)
    process = subprocess.Popen([*command, str(killed)], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until and steps(killed) < 19:  # of 8 an epoch
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert (killed / STATE).exists()
    assert not (killed / "checkpoint.safetensors").exists()
    assert len(rows(killed)) < 6
    subprocess.run([*command, str(killed)], check=True, capture_output=True)
    assert (killed / "checkpoint.safetensors").read_bytes() == (whole / "checkpoint.safetensors").read_bytes()
    assert rows(killed) == rows(whole)
    assert (killed / "schedule.csv").read_text() == (whole / "schedule.csv").read_text()
    assert not (killed / STATE).exists()


def steps(folder: Path) -> int:
    """How many steps stand in schedule.csv."""
    path = folder / "schedule.csv"
    return path.read_text().count("\n") - 1 if path.is_file() else 0


def fit(learn: list[Study], validate: list[Study], folder: Path, recipe: Recipe, log: Any = None) -> Checkpoint:
    return TimmEncoder(model="test_vit", checkpoint=None, size=64).fit(learn, validate, folder, recipe, log=log)


@pytest.mark.parametrize(
    ("after", "changes"),
    [
        (30, {}),  # in the first epoch
        (55, {}),  # while that is judged
        (110, {}),  # in the last one
        (75, {"optimiser": "sgd", "schedule": "plateau", "decay_epochs": 1, "lr": 1e-3}),
        (75, {"ema": 0.9, "accumulate": 2, "drop_path": 0.1, "balance": True}),
        (75, {"uncertain": "U-MultiClass", "layer_decay": 0.9, "freeze": ["patch_embed"]}),
        (75, {"lora": 2}),
        (75, {"uncertain": "U-SelfTrained"}),
        (180, {"uncertain": "U-SelfTrained"}),  # in the second training
    ],
    ids=str,
)
def test_wherever_it_stops_it_goes_on_as_if_it_had_not(
    after: int, changes: dict[str, Any], made: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after so many images were read, of the 24 for their grey levels and 24 + 16 in each of 3 epochs."""
    monkeypatch.setattr(data, "HELD", 0)
    read = 0

    def counted(study: Study) -> Study:
        (image,) = study.images

        def once() -> npt.NDArray[np.float32]:
            nonlocal read
            read += 1
            if read == after:
                raise KeyboardInterrupt
            return image.read()

        return replace(study, images=(replace(image, read=once),))

    learn, validate = made.studies(24, 1), made.studies(16, 2)
    recipe = Recipe(**{"epochs": 3, "batch": 4, "workers": 0, "save_minutes": 0, **changes})
    whole = fit(learn, validate, tmp_path / "whole", recipe)
    stopped = [counted(study) for study in learn], [counted(study) for study in validate]
    with pytest.raises(KeyboardInterrupt):
        fit(*stopped, tmp_path / "stopped", recipe)
    log: list[dict[str, Any]] = []
    again = fit(*stopped, tmp_path / "stopped", recipe, log.append)
    assert "resume" in [event["stage"] for event in log]
    assert rows(tmp_path / "stopped") == rows(tmp_path / "whole")
    assert Path(again.path).read_bytes() == Path(whole.path).read_bytes()


def test_the_state_of_another_training_is_not_gone_on_from(made: SimpleNamespace, tmp_path: Path) -> None:
    learn, validate = made.studies(16, 1), made.studies(8, 2)
    alone = fit(learn, validate, tmp_path / "alone", Recipe(epochs=1, batch=4))

    def stop(event: dict[str, Any]) -> None:
        if event["stage"] == "epoch" and event["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(learn, validate, tmp_path / "other", Recipe(epochs=3, batch=4, save_minutes=0), stop)
    log: list[dict[str, Any]] = []
    other = fit(learn, validate, tmp_path / "other", Recipe(epochs=1, batch=4), log.append)
    (said,) = [event["note"] for event in log if event["stage"] == "resume"]
    assert "another training" in said
    assert Path(other.path).read_bytes() == Path(alone.path).read_bytes()
    assert len(rows(tmp_path / "other")) == 1


def test_a_state_that_can_not_be_read_is_said_and_left(made: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / STATE).write_bytes(b"\x80\x04 not a safetensors file")
    log: list[dict[str, Any]] = []
    fit(made.studies(16, 1), made.studies(8, 2), tmp_path, Recipe(epochs=1, batch=4), log.append)
    (said,) = [event["note"] for event in log if event["stage"] == "resume"]
    assert "can't be read" in said


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD])
def test_an_optimiser_goes_on_where_it_was(kind: type[torch.optim.Optimizer], tmp_path: Path) -> None:
    def make() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = torch.nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)
        options = {"momentum": 0.9} if kind is torch.optim.SGD else {"fused": True}
        return model, kind(model.parameters(), lr=0.1, **options)

    def steps(model: torch.nn.Module, optimiser: torch.optim.Optimizer, seeds: range) -> None:
        for seed in seeds:
            x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
            optimiser.zero_grad()
            model(x).square().mean().backward()
            optimiser.step()

    one, two = make(), make()
    steps(*one, range(3))
    resuming.save(tmp_path / "s", "a", {"n": 3}, {**resuming.of_model(one[0], "m"), **resuming.of_optimiser(one[1])})
    standing, tensors = resuming.load(tmp_path / "s", "a")
    assert standing == {"n": 3}
    two[0].load_state_dict(resuming.taken(tensors, "m"))
    resuming.to_optimiser(two[1], tensors)
    for pair in (one, two):
        steps(*pair, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(one[0].parameters(), two[0].parameters(), strict=True))
