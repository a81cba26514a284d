"""What a training leaves behind as it goes: history.csv, schedule.csv and, where it is installed, TensorBoard's files.

A row is in its file before the state from which a killed training would go on, so none is lost or written twice.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

EVENTS = "tensorboard"


class Logs:
    """The files of one training, in ``folder``; it goes on after ``step`` steps and the epochs of ``history``."""

    def __init__(self, folder: Path, history: Sequence[Mapping[str, float]], step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        rates = _rows(folder / "schedule.csv")[:step] if step else []
        self._history = (folder / "history.csv").open("w", newline="", encoding="utf-8")
        self._schedule = (folder / "schedule.csv").open("w", newline="", encoding="utf-8")
        self._rates = csv.writer(self._schedule)
        self._rates.writerows([["step", "lr"], *rates])
        self._schedule.flush()
        self._epochs: csv.DictWriter[str] | None = None
        for row in history:
            self._row(row)
        if not step:
            shutil.rmtree(folder / EVENTS, ignore_errors=True)
        self._board = _board(folder / EVENTS, step)

    def rate(self, step: int, rate: float) -> None:
        """The learning rate of a step, counted from 0."""
        self._rates.writerow([step, rate])
        if self._board:
            self._board.add_scalar("lr", rate, step)

    def epoch(self, row: Mapping[str, float], step: int) -> None:
        """The figures of an epoch that is over, and the number of steps since the beginning."""
        self._row(row)
        if self._board:
            for name, value in row.items():
                self._board.add_scalar(name, value, step)
        self.flush()

    def flush(self) -> None:
        """Bring everything into the files."""
        self._schedule.flush()
        if self._board:
            self._board.flush()

    def close(self) -> None:
        """Bring everything into the files, and close them."""
        self._history.close()
        self._schedule.close()
        if self._board:
            self._board.close()

    def _row(self, row: Mapping[str, float]) -> None:
        if self._epochs is None:
            self._epochs = csv.DictWriter(self._history, list(row))
            self._epochs.writeheader()
        self._epochs.writerow(row)
        self._history.flush()


def _rows(path: Path) -> list[list[str]]:
    """The rows of a CSV file without its header; of none where it isn't there."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


def _board(folder: Path, step: int) -> Any:
    """A writer of TensorBoard's files, which drops what was written of later steps; None without the package."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step or None)  # type: ignore[no-untyped-call]
