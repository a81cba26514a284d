from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from rrgbench import reliability, stored
from rrgbench.errors import UsageError
from rrgbench.metrics.calibration import Calibration
from rrgbench.reliability import LEAST, figure, page


def rows_of(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    p = rng.random(n)
    return pd.DataFrame(
        {
            "truth_pleural_effusion": (rng.random(n) < p).astype(float),
            "truth_edema": 0.0,
            "truth_hernia": np.nan,
            "probability_pleural_effusion": p,
            "probability_edema": np.where(np.arange(n) < LEAST - 1, 0.99, 0.01),
            "probability_hernia": 0.5,
        }
    )


def test_a_diagram_a_label_with_its_figures() -> None:
    rows = rows_of()
    html = str(figure(rows))
    root = ElementTree.fromstring(f"<div>{html}</div>")
    panels = root.findall(".//figure")
    captions = [" ".join("".join(p.find("figcaption").itertext()).split()) for p in panels]  # type: ignore[union-attr]
    error = Calibration().reduce(rows)["ece_pleural_effusion"]
    assert captions[0].startswith(f"Pleural effusionerror {error:.3f}, by chance 0.0")
    assert "300 studies, " in captions[0] and captions[1].endswith("300 studies, 0 with it")
    assert len(panels) == 2 and "without any truth: Hernia." in html
    dots, bars = (len(panels[0].findall(f".//{tag}")) for tag in ("circle", "rect"))
    assert (dots, bars) == (15, 15)


def test_a_bin_of_a_few_studies_has_no_dot_and_its_share_is_nowhere() -> None:
    panel = ElementTree.fromstring(f"<div>{figure(rows_of())}</div>").findall(".//figure")[1]
    assert (len(panel.findall(".//circle")), len(panel.findall(".//rect"))) == (1, 2)
    assert ".99" not in "".join(panel.itertext())


def test_the_dots_lie_where_the_curve_does() -> None:
    rows = pd.DataFrame({"truth_x": [1.0, 0, 0, 0] * 5, "probability_x": 0.5})
    (dot,) = ElementTree.fromstring(f"<div>{figure(rows, bins=1)}</div>").findall(".//circle")
    x, y = (float(dot.attrib[name]) for name in ("cx", "cy"))
    assert (x, y) == (reliability.LEFT + reliability.SIDE / 2, reliability.TOP + 0.75 * reliability.SIDE)


def test_the_page_of_a_run(rrgbench: Callable[..., Any], tmp_path: Path) -> None:
    options = ("--dataset", "phantom:n=40", "--encoder", "oracle", "--llm", "template", "--resamples", "0")
    done = rrgbench("run", *options, "--metric", "calibration:bins=4", "--metric", "brier")
    assert done.code == 0, done.err
    (folder,) = (path.parent for path in tmp_path.rglob("scores.json"))
    html = page([folder])
    assert "oracle+template" in html and "Synthetic" in html and "error 0.000, by chance 0.000" in html
    assert not re.search(r"(src|href)=|https?://(?!www\.w3\.org)", html)
    assert str(reliability.of_run(stored.read(folder))) in html
    assert not any(study in html for study in stored.read(folder).frame.index.get_level_values("study_id"))

    record = json.loads((folder / "scores.json").read_text())
    scores = {score["metric"]: score for score in record["scores"]}
    assert scores["ece_macro"]["value"] == scores["brier_macro"]["value"] == 0.0
    assert not scores["ece_edema"]["higher_is_better"] and "bins:4" in scores["ece_edema"]["signature"]
    record |= {"terms": "credentialed", "system": "p10000032+template"}
    (folder / "scores.json").write_text(json.dumps(record))
    with pytest.raises(UsageError, match="aggregates only"):
        page([folder])


def test_a_run_without_calibration_says_how_to_get_it(rrgbench: Callable[..., Any], tmp_path: Path) -> None:
    options = ("--dataset", "phantom:n=20", "--encoder", "oracle", "--llm", "template", "--resamples", "0")
    assert rrgbench("run", *options, "--metric", "brier").code == 0
    (folder,) = (path.parent for path in tmp_path.rglob("scores.json"))
    with pytest.raises(UsageError, match="--metric calibration"):
        page([folder])
