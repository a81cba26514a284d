"""``chexbert``: CheXpert's 14 labels from report text (Smit et al., EMNLP 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from rrgbench.errors import UsageError
from rrgbench.labels import CHEXPERT, NO_FINDING, SUPPORT_DEVICES
from rrgbench.types import Status
from rrgbench_chexbert import weights

if TYPE_CHECKING:
    from rrgbench_chexbert.network import Reading

# The order of the heads (constants.py of stanfordmlgroup/CheXbert), which is not that of CheXpert's files.
HEADS = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    SUPPORT_DEVICES,
    NO_FINDING,
)
CLASSES = (Status.NOT_MENTIONED, Status.PRESENT, Status.ABSENT, Status.UNCERTAIN)


class Chexbert:
    """CheXpert's 14 labels by CheXbert: for each label the most probable of blank, positive, negative, uncertain.

    No Finding is positive or blank only. White space is collapsed, and a text is cut after 510 tokens (some 350 words).
    An empty text is given to the network like any other, as the authors do: its labels are the network's.

    ``checkpoint`` is chexbert.pth, ``bert`` a folder with config.json and vocab.txt of bert-base-uncased; without them
    the user's caches are looked through. Nothing is downloaded and nothing unpickled.
    """

    version = "1"
    name = "chexbert"
    vocabulary = CHEXPERT
    neutral = ("checkpoint", "bert", "device", "batch")  # the signature has the digests of the files

    def __init__(
        self, checkpoint: Path | None = None, bert: Path | None = None, device: str = "auto", batch: int = 32
    ) -> None:
        if batch < 1:
            raise UsageError(f"chexbert: batch must be at least 1, not {batch}.")
        self._files = weights.find(checkpoint, bert)

        from rrgbench.devices import pick_device  # torch, which whoever lacks the weights need not wait for

        self._device, self._batch = pick_device(device), batch

    @property
    def signature(self) -> str:
        """Digests of the weights and the vocabulary."""
        return self._files.signature

    def label(self, texts: Sequence[str]) -> pd.DataFrame:
        """A row a text, in order, indexed 0..n-1; a column a label; cells are ``Status``."""
        rows = [[CLASSES[found] for found in reading.classes] for reading in self._read(texts)]
        return pd.DataFrame(rows, columns=list(HEADS), dtype=object)[list(CHEXPERT.labels)]

    def vectors(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """The last hidden state of [CLS] of each text, shape (texts, 768)."""
        return np.array([reading.vector for reading in self._read(texts)], dtype=np.float32)

    def _read(self, texts: Sequence[str]) -> list[Reading]:
        from rrgbench_chexbert.network import reader

        return reader(self._files, self._device).read(texts, self._batch)
