"""Which folder is a model, and which one it is: nothing is run or unpickled on the way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from rrgbench_transformers.model import CausalLM
from safetensors.torch import load_file, save_file

from rrgbench.errors import UsageError

REVISION = "0123456789abcdef0123456789abcdef01234567"


def signature(model: Path, **options: Any) -> str:
    return CausalLM(model=model, device="cpu", **options).signature


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_a_name_of_the_hub_is_found_in_the_local_cache(tiny: Path, hub: Path) -> None:
    snapshot = hub / "models--someone--tiny-llama" / "snapshots" / REVISION
    shutil.copytree(tiny, snapshot)
    refs = snapshot.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text(REVISION)
    made = CausalLM(model=Path("someone/tiny-llama"), device="cpu")
    assert made.name == "tiny-llama"
    assert made.signature.startswith("weights:0123456789ab|transformers:")
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"has no model\.safetensors.*hf download someone/tiny-llama"):
        CausalLM(model=Path("someone/tiny-llama"), device="cpu")


@pytest.mark.parametrize("name", ["someone/no-such-model", "/no/such/folder", "a b?"])
def test_a_model_that_is_nowhere_says_how_to_get_one(hub: Path, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        CausalLM(model=Path(name))
    assert f"hf download {name}" in str(caught.value) and "model=FOLDER" in str(caught.value)


def test_a_pickle_is_not_opened(changed: Any) -> None:
    folder = changed(model_safetensors=None)
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(UsageError, match=r"no model\.safetensors.*pickle"):
        CausalLM(model=folder)


def test_code_of_a_repository_is_never_run(changed: Any, tmp_path: Path) -> None:
    marker = tmp_path / "was-run"
    code = f"open({str(marker)!r}, 'w').close()\nclass A: pass\nclass B: pass\n"
    of_its_own = {"AutoConfig": "mine.A", "AutoModelForCausalLM": "mine.B", "AutoTokenizer": ["mine.A", None]}
    unknown = changed("unknown", config_json={"auto_map": of_its_own, "model_type": "mine"}, mine_py=code)
    with pytest.raises(UsageError, match=r"config\.json .*own code is never run"):
        CausalLM(model=unknown)
    native = changed("native", config_json={"auto_map": of_its_own}, mine_py=code)
    CausalLM(model=native, device="cpu")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"config_json": None}, r"no config\.json"),
        ({"adapter_config_json": {"base_model_name_or_path": "x"}}, "merge it"),
        ({"config_json": "{"}, r"config\.json"),
        ({"config_json": {"model_type": "vit"}}, "no causal language model"),
        ({"tokenizer_json": "{}"}, "tokenizer"),
        ({"model_safetensors": None, "model.safetensors.index_json": "[]"}, "no index"),
        ({"model_safetensors": None, "model.safetensors.index_json": {"weight_map": {"a": "p2.safetensors"}}}, "p2"),
    ],
)
def test_a_folder_that_is_no_whole_model_is_refused_at_once(changed: Any, files: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        CausalLM(model=changed(**files))


def test_the_signature_is_the_content_and_not_the_place(tiny: Path, changed: Any, tmp_path: Path) -> None:
    moved = changed("moved")
    (moved / "README.md").write_text("No part of the model.")
    other = changed("other")
    tensors = load_file(other / "model.safetensors")
    save_file(tensors | {"lm_head.weight": tensors["lm_head.weight"] + 1}, other / "model.safetensors")
    template, again = tmp_path / "a.jinja", tmp_path / "b.jinja"
    template.write_text("{{ messages[0].content }}")
    again.write_text("{{ messages[0].content }}!")
    assert signature(tiny) == signature(moved)
    others = [
        signature(tiny),
        signature(other),
        signature(changed("wordy", chat_template_jinja="{{ messages[0].content }}")),
        signature(tiny, template=template),
        signature(tiny, template=again),
    ]
    assert len(set(others)) == 5
    assert "|transformers:" in others[0]


def test_weights_in_several_files_count_with_each(changed: Any) -> None:
    folder = changed()
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    halves = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, keys in halves.items():
        save_file({key: tensors[key] for key in keys}, folder / file, metadata={"format": "pt"})
    index = {"weight_map": {key: file for file, keys in halves.items() for key in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    before = signature(folder)
    second = halves["model-00002-of-00002.safetensors"]
    save_file({key: tensors[key] * 2 for key in second}, folder / "model-00002-of-00002.safetensors")
    assert signature(folder) != before
    (folder / "model-00001-of-00002.safetensors").unlink()
    with pytest.raises(UsageError, match="no model-00001-of-00002"):
        CausalLM(model=folder)
