"""What tests share: a table of small radiographs, and running the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def rrgbench(tmp_path: Path) -> Callable[..., Done]:
    """Run the command line in a process of its own, in an empty folder."""

    def call(*arguments: object, env: dict[str, str] | None = None, timeout: float = 120) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "rrgbench", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def radiographs(tmp_path: Path) -> Path:
    """studies.csv with eight studies of six patients, their images beside it, labels and reports."""
    import numpy as np
    import PIL.Image

    folder = tmp_path / "radiographs"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = ["study_id,patient_id,image,labels,report"]
    reports = {
        "Cardiomegaly": "FINDINGS: The heart is enlarged. IMPRESSION: Cardiomegaly.",
        "No Finding": "FINDINGS: The lungs are clear. IMPRESSION: No acute abnormality.",
        "Pleural Effusion|Atelectasis": "FINDINGS: Small left pleural effusion with atelectasis. IMPRESSION: Effusion.",
        "Pneumothorax": "FINDINGS: There is a right pneumothorax. IMPRESSION: Right pneumothorax.",
    }
    for number in range(8):
        PIL.Image.fromarray(rng.integers(0, 255, (32, 32), dtype=np.uint8)).save(folder / f"{number}.png")
        labels = list(reports)[number % 4]
        lines.append(f's{number},p{number % 6},{number}.png,{labels},"{reports[labels]}"')
    (folder / "studies.csv").write_text("\n".join(lines) + "\n")
    return folder / "studies.csv"


@pytest.fixture
def table(radiographs: Path) -> str:
    """The same as a dataset spec."""
    return f"table:path={radiographs},image=image,patient=patient_id,labels=labels,report=report,terms=open"
