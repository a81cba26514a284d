"""How long an index of MIMIC-CXR's size takes to open, and its memory: ``python benchmarks/mimic_index.py [ROWS]``.

Writes the split, metadata, CheXpert and NegBio tables of that many invented images (400,000; MIMIC-CXR has 377,110) to
a temporary folder and opens them in a process of its own. No image and no report is written or read.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from rrgbench.datasets.mimic_cxr import MimicCXR
from rrgbench.labels import CHEXPERT

ROWS = 400_000


def write(folder: Path, rows: int) -> None:
    """The tables, with MIMIC-CXR's share of images a study (1.66), studies a patient (3.5) and test images (1.4 %)."""
    rng = np.random.default_rng(0)
    studies, patients = int(rows / 1.66), int(rows / 1.66 / 3.5)
    of_study = np.sort(np.r_[np.arange(studies), rng.integers(studies, size=rows - studies)])
    patient_of = np.sort(rng.integers(patients, size=studies))
    split_of = rng.choice(["train", "validate", "test"], patients, p=[0.978, 0.008, 0.014])
    numbers = 50_000_000 + rng.choice(10_000_000, studies, replace=False)
    subjects = 10_000_000 + patient_of
    words = rng.integers(2**32, size=(rows, 5), dtype=np.uint32)
    dicom = ["-".join(f"{word:08x}" for word in five) for five in words.tolist()]
    ids = {"dicom_id": dicom, "study_id": numbers[of_study], "subject_id": subjects[of_study]}
    views = rng.choice(["AP", "PA", "LATERAL", "LL", ""], rows, p=[0.39, 0.26, 0.22, 0.09, 0.04])
    dates = rng.integers(2110, 2205, studies) * 10_000 + rng.integers(1, 13, studies) * 100 + 1
    seconds = rng.integers(86_400, size=studies)
    times = seconds // 3600 * 10_000 + seconds // 60 % 60 * 100 + seconds % 60 + rng.integers(1000, size=studies) / 1000
    view = {"ViewPosition": views, "Rows": 3056, "Columns": 2544}
    cells = rng.choice(["", "1.0", "0.0", "-1.0"], (studies, len(CHEXPERT)), p=[0.75, 0.13, 0.09, 0.03])
    labels = dict(zip(sorted(CHEXPERT.labels), cells.T, strict=True))
    tables = {
        "split": {**ids, "split": split_of[patient_of[of_study]]},
        "metadata": {**ids, **view, "StudyDate": dates[of_study], "StudyTime": times[of_study]},
        "chexpert": {"subject_id": subjects, "study_id": numbers, **labels},
        "negbio": {"subject_id": subjects, "study_id": numbers, **labels},
    }
    for name, columns in tables.items():
        file = folder / f"mimic-cxr-2.0.0-{name}.csv.gz"
        pd.DataFrame(columns).to_csv(file, index=False, compression={"method": "gzip", "compresslevel": 1})


def measure(folder: Path) -> None:
    """Open the tables, go through the test split, and print what it took."""
    started = time.perf_counter()
    dataset = MimicCXR(folder)
    opened = time.perf_counter()
    studies = list(dataset.load("test"))
    read = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(dataset.notes()[0])
    print(f"opened in {opened - started:.1f} s; test split: {len(studies):,} studies made in {read - opened:.1f} s")
    print(f"peak memory of the process: {peak:,.0f} MB")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
        subprocess.run([sys.executable, __file__, "--measure", name], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]))
    else:
        main()
