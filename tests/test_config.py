from __future__ import annotations

from pathlib import Path

import pytest

from rrgbench.config import RunConfig, load
from rrgbench.errors import UsageError


def write(folder: Path, text: str) -> Path:
    file = folder / "run.yaml"
    file.write_text(text)
    return file


def test_the_default_is_the_embedded_job() -> None:
    (parts,) = RunConfig().grid()
    assert {kind: str(spec) for kind, spec in parts.items()} == {
        "dataset": "phantom",
        "system": "classify-then-generate",
        "encoder": "vit",
        "renderer": "sentences",
        "prompt": "zero-shot",
        "llm": "template",
    }


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, "encoder: {vit: {size: 96}}\nlimit: 5\n")
    loaded = load(RunConfig, file, limit=7, llm=[])
    assert (str(loaded.encoder[0]), loaded.limit, str(loaded.llm[0])) == ("vit:size=96", 7, "template")


def test_a_part_given_twice_makes_a_grid() -> None:
    config = load(
        RunConfig, None, encoder=["vit", "cnn"], llm=["template", "gpt4"], system=["classify-then-generate", "constant"]
    )
    grid = list(config.grid())
    assert len(grid) == 5
    assert "encoder" not in grid[-1]


def test_folders_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, "dataset: {table: {path: '${MY_DATA}/studies.csv'}}\n")
    monkeypatch.setenv("MY_DATA", "/data")
    assert load(RunConfig, file).dataset[0].options == {"path": "/data/studies.csv"}
    monkeypatch.delenv("MY_DATA")
    with pytest.raises(UsageError, match="MY_DATA.*not set: export"):
        load(RunConfig, file)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("encodr: vit", "unknown key 'encodr'. Did you mean 'encoder'"),
        ("limit: many", "limit"),
        ("limit: 0", "limit"),
        ("- vit", "must be a mapping"),
        ("encoder: [", "not YAML"),
        ("encoder: {vit: 3}", "spec string"),
    ],
)
def test_a_wrong_configuration_names_the_file_and_the_key(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        load(RunConfig, write(tmp_path, text))
