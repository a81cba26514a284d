from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PAIRS = [  # candidate, reference
    ("The heart is normal in size. The lungs are clear.", "Heart size is normal. Lungs are clear bilaterally."),
    ("No pleural effusion or pneumothorax.", "There is no pneumothorax or pleural effusion."),
    ("The lungs are clear.", "The lungs are clear."),
    (
        "Stable cardiomegaly with mild pulmonary edema; small bilateral effusions.",
        "Cardiac silhouette remains enlarged, with interstitial edema and tiny effusions on both sides.",
    ),
    (
        "A right-sided PICC terminates in the mid SVC. No pneumothorax.",
        "Right PICC line tip projects over the mid superior vena cava; there's no pneumothorax.",
    ),
    ("Left lower lobe opacity, likely atelectasis.", "Left basilar opacity may represent atelectasis or pneumonia."),
    ("No acute cardiopulmonary abnormality.", "No acute cardiopulmonary process."),
    (
        "1. Low lung volumes. 2. No focal consolidation.",
        "Lung volumes are low (1.5 cm below expected). No focal consolidation is seen.",
    ),
    (
        "Endotracheal tube tip is 4.2 cm above the carina.",
        "ET tube ends 4.5 cm above the carina and could be advanced 1 1/2 cm.",
    ),
    ("Degenerative changes of the thoracic spine.", "Multilevel degenerative change is noted in the T-spine."),
    ("There is a 9 mm nodule in the right upper lobe.", "Nodular density, right upper lobe, measuring 9-mm."),
    ("Mediastinal contours are unremarkable.", "The mediastinal and hilar contours are within normal limits."),
    ("Compared to XXXX, the effusion has decreased.", "As compared to ___, the left effusion has decreased in size."),
    ("No free air below the diaphragm!", 'No "free air" is seen beneath the hemidiaphragms.'),
    ("Old healed rib fractures on the left.", "Healed left rib fractures (old)."),
    ("Normal chest.", "PA & lateral views of the chest: no acute disease."),
    ("Hyperinflated lungs suggest COPD.", "Flattened diaphragms and hyperinflation, consistent with emphysema/COPD."),
    ("the the the the", "The heart, the lungs, the pleura and the bones are normal."),
    ("Calcified granuloma at the left apex; otherwise normal.", "Granuloma, calcified, left apex. Otherwise normal."),
    (
        "Dual-lead pacemaker in place, leads in the right atrium and the right ventricle.",
        "Dual-lead pacemaker in place, leads in the right atrium and the right ventricle.",
    ),
]


@pytest.fixture(scope="session")
def java() -> None:
    if shutil.which("java") is None:
        pytest.skip("needs a Java runtime")


@pytest.fixture(scope="session")
def pairs() -> list[tuple[str, str]]:
    return PAIRS


@pytest.fixture
def fake_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a program ``java`` that runs the given Python first on the PATH; it writes its process ids to the file."""

    def install(code: str) -> Path:
        folder, pids = tmp_path / "bin", tmp_path / "pids"
        folder.mkdir()
        program = folder / "java"
        program.write_text(
            f"#!{sys.executable}\nimport os, sys, time\nopen({str(pids)!r}, 'a').write(f'{{os.getpid()}} ')\n{code}\n"
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return pids

    return install


@pytest.fixture
def no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
