"""The label files of MIMIC-CXR-JPG, lined up with the studies of the index.

Columns (physionet.org/content/mimic-cxr-jpg/2.1.0): study_id and the 14 labels, 1.0, 0.0, -1.0 (uncertain) or blank
(not mentioned). The order of the columns is not that of the page, so they are read by name. The radiologist's file
calls Lung Opacity "Airspace Opacity"; it has one reader and 687 studies of the test split (MIT-LCP/mimic-cxr#22).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from rrgbench.datasets import official
from rrgbench.datasets.mimic_cxr.index import Ints, numbers
from rrgbench.errors import UsageError
from rrgbench.labels import CHEXPERT
from rrgbench.types import Findings

Source = Literal["chexpert", "negbio", "radiologist"]

FILES: dict[str, str] = {
    "chexpert": "mimic-cxr-2.0.0-chexpert.csv",
    "negbio": "mimic-cxr-2.0.0-negbio.csv",
    "radiologist": "mimic-cxr-2.1.0-test-set-labeled.csv",
}
RENAMED = {"Lung Opacity": "Airspace Opacity"}


class Labels:
    """One label file. ``of(at)`` gives the labels of the study at a position of the index.

    ``labelled`` counts the studies of the index that have any label; ``strangers`` are studies that the index lacks.
    """

    def __init__(self, file: Path, studies: Ints) -> None:
        columns = official.label_columns(file, CHEXPERT, RENAMED)
        rows = official.read_columns(file, ("study_id", *columns.values()))
        official.check_labels(rows, file, columns)
        ids = pd.Index(numbers(rows, file, "study_id"))
        if (twice := ids.duplicated()).any():
            row = int(twice.argmax())
            raise UsageError(f"{file}, row {row + 1}: the study {ids[row]} stands twice.")
        self.file = file
        self.strangers: Ints = ids[~ids.isin(studies)].to_numpy()
        self._columns = columns
        self._row = ids.get_indexer(pd.Index(studies))  # -1 where the file lacks the study
        self._cells = {column: list(rows[column].cat.categories) for column in columns.values()}
        self._codes = np.column_stack([rows[column].cat.codes for column in self._cells])
        self._known: dict[bytes, Findings | None] = {}  # most studies share their labels with many others
        blank = np.all([rows[column].astype(object).str.strip() == "" for column in self._cells], axis=0)
        self.labelled = int((~blank)[self._row[self._row >= 0]].sum())

    def of(self, at: int) -> Findings | None:
        """The labels of a study, or None where the file lacks it or all of its cells are blank."""
        row = self._row[at]
        if row < 0:
            return None
        codes = self._codes[row]
        key = codes.tobytes()
        if key not in self._known:
            cells = {c: texts[code] for (c, texts), code in zip(self._cells.items(), codes, strict=True)}
            self._known[key] = official.findings(CHEXPERT, self._columns, cells)
        return self._known[key]
