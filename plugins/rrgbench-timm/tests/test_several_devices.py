"""Two processes that train together, on the CPU, do what one does alone."""

from __future__ import annotations

import csv
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

HERE = Path(__file__).parent


def start(folder: Path, processes: int, body: str = "") -> list[subprocess.Popen[str]]:
    """What `accelerate launch` and torchrun do, without them: as many processes, told of each other by variables."""
    script = folder.with_suffix(".py")
    script.write_text(
        textwrap.dedent(f"""
        import json, sys
        from dataclasses import replace
        from pathlib import Path
        sys.path.insert(0, {str(HERE)!r})
        import torch
        import conftest
        from rrgbench_timm import data
        from rrgbench_timm.encoder import TimmEncoder
        from rrgbench_timm.recipe import Recipe
        torch.set_num_threads(1)
        data.HELD = 0  # each process reads its part
        learn, validate = conftest.studies(50, 1), conftest.studies(15, 2)
        for i in range(0, 50, 3):  # so that not every process has as many known labels
            learn[i] = replace(learn[i], labels=conftest.findings((True, False, True)))
        learn[7] = replace(learn[7], images=(conftest.image(conftest.unreadable),))
        recipe = dict(epochs=2, batch=12, ema=0.9, augment=False, workers=0)
        """)
        + textwrap.dedent(body)
        + textwrap.dedent("""
        encoder = TimmEncoder(model="test_vit", checkpoint=None, size=64, device="cpu")
        done = encoder.fit(learn, validate, Path(sys.argv[1]), Recipe(**recipe), log=lambda e: print(json.dumps(e)))
        assert Path(done.path).is_file() and encoder.card.training["studies"]["train"] == 49
        """)
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    together = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    running = []
    for rank in range(processes):
        own = {**together, "RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else {}
        command = [sys.executable, str(script), str(folder)]
        variables = {**os.environ, **own, "OMP_NUM_THREADS": "1"}
        running.append(subprocess.Popen(command, env=variables, stdout=-1, stderr=-1, text=True))
    return running


def said(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a process wrote to stdout and stderr until it ended well."""
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error[-3000:]
    return out, error


def history(folder: Path) -> list[dict[str, float]]:
    with (folder / "history.csv").open(encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    started = [*start(one, 1), *start(two, 2, "recipe |= dict(accumulate=2)")]
    _, (out, error), silent = (said(process) for process in started)
    assert '"stage": "epoch"' in out
    assert "train:" in error
    assert silent == ("", "")
    for alone, together in zip(history(one), history(two), strict=True):
        assert together["train_loss"] == pytest.approx(alone["train_loss"], rel=1e-5)
        assert together["auroc_macro"] == pytest.approx(alone["auroc_macro"])
    weights = load_file(one / "checkpoint.safetensors")
    for name, array in load_file(two / "checkpoint.safetensors").items():
        np.testing.assert_allclose(array, weights[name], atol=1e-5)
