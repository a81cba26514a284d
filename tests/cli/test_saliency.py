"""`rrgbench saliency` from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.conftest import Done


def test_encoders_side_by_side(rrgbench: Callable[..., Done], tmp_path: Path) -> None:
    data = ("--dataset", "phantom:n=60", "--encoder", "vit", "--encoder", "cnn")
    done = rrgbench("saliency", *data, "--out", "seen")
    assert done.code == 0, done.err
    assert "pointing_game_macro" in done.out and "chance" in done.out and "index.html" in done.out
    assert {file.name for file in (tmp_path / "seen" / "maps").iterdir()} == {"vit", "cnn"}
    again = rrgbench("saliency", *data, "--json")
    assert again.code == 0 and again.json()["method"] == "grad-cam"
    scores = {(score["encoder"], score["metric"]): score for score in again.json()["scores"]}
    assert 0 <= scores["cnn", "iou_macro"]["value"] <= 1


def test_a_wrong_request_is_an_error_in_words(rrgbench: Callable[..., Done]) -> None:
    done = rrgbench("saliency", "--encoder", "oracle")
    assert done.code == 2 and "can't say where it looks" in done.err
    done = rrgbench("saliency", "--method", "rollout", "--limit", "20")
    assert done.code == 2 and "Choose grad-cam" in done.err and "Traceback" not in done.err
