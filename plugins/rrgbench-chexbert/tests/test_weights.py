"""Where the files come from, and what is refused."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from rrgbench_chexbert import weights
from rrgbench_chexbert.labeler import Chexbert
from rrgbench_chexbert.network import Reader
from rrgbench_chexbert.weights import Files, find
from torch import Tensor

from rrgbench.errors import UsageError

CPU = torch.device("cpu")
States = Callable[[int], dict[str, Tensor]]


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of the user and of the hub."""
    monkeypatch.setattr(weights, "folder", lambda: tmp_path / "chexbert")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def hub(cache: Path, repository: str, *files: Path) -> None:
    """Put files into a hub cache, as a download does."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    for file in files:
        shutil.copy(file, folder / "snapshots" / "abc")


def test_without_weights_it_says_what_to_get_and_where_from(caches: Path, bert: Path) -> None:
    with pytest.raises(UsageError, match=r"chexbert\.pth .*StanfordAIMI/RRG_scorers.*chexbert:checkpoint=FILE"):
        Chexbert(bert=bert)


def test_without_bert_s_vocabulary_it_says_so(caches: Path, checkpoint: Path) -> None:
    with pytest.raises(UsageError, match=r"config\.json and vocab\.txt of bert-base-uncased.*chexbert:bert=FOLDER"):
        Chexbert(checkpoint)
    with pytest.raises(UsageError, match="lacks them"):
        Chexbert(checkpoint, caches)
    with pytest.raises(UsageError, match="nothing.pth is not there"):
        Chexbert(caches / "nothing.pth")


@pytest.mark.parametrize("name", ["bert-base-uncased", "google-bert/bert-base-uncased"])
def test_the_usual_places_are_looked_through(caches: Path, checkpoint: Path, bert: Path, name: str) -> None:
    hub(caches / "hub", name, bert / "config.json", bert / "vocab.txt")
    (caches / "chexbert").mkdir()
    shutil.copy(checkpoint, caches / "chexbert")
    assert find(None, None).checkpoint == caches / "chexbert" / "chexbert.pth"
    assert find(None, None).config.name == "config.json"


@pytest.mark.parametrize("cache", ["chexbert", "hub"])  # f1chexbert's own download makes a hub cache of its folder
def test_weights_in_a_hub_cache_are_found(caches: Path, checkpoint: Path, bert: Path, cache: str) -> None:
    hub(caches / cache, "StanfordAIMI/RRG_scorers", checkpoint)
    assert find(None, bert).checkpoint.is_relative_to(caches / cache)


def test_the_user_s_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert weights.folder() == Path("/caches/chexbert")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert weights.folder() == Path.home() / ".cache" / "chexbert"
    monkeypatch.setattr("sys.platform", "darwin")
    assert weights.folder() == Path.home() / "Library" / "Caches" / "chexbert"


def test_a_tokenizer_json_serves_where_there_is_no_vocab_txt(files: Files, bert: Path, tmp_path: Path) -> None:
    tokenizer = Reader(files, CPU)._tokenizer
    tokenizer.enable_padding(length=600)  # what a file may have been saved with
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    shutil.copy(bert / "config.json", tmp_path)
    texts = ["There is no pneumothorax, no EDEMA.", "", "effusion " * 700]
    other = find(files.checkpoint, tmp_path)
    assert other.vocabulary.name == "tokenizer.json"
    assert Reader(other, CPU).tokens(texts) == Reader(files, CPU).tokens(texts)


def test_the_signature_is_the_files_digests_and_not_their_places(
    files: Files, bert: Path, tmp_path: Path, save: Callable[..., Path], random_state: States
) -> None:
    copied = Path(shutil.copy(files.checkpoint, tmp_path / "other-name.pth"))
    assert find(copied, bert).signature == files.signature
    assert find(save(random_state(1)), bert).signature != files.signature


def test_an_optimizer_s_state_beside_the_weights_does_no_harm(
    save: Callable[..., Path], bert: Path, random_state: States
) -> None:
    more = {"epoch": 8, "loss": 0.25, "optimizer_state_dict": {"state": {0: {"exp_avg": torch.ones(3)}}}}
    assert Reader(find(save(random_state(0), **more), bert), CPU).read(["clear"], 1)


def test_the_old_form_of_torch_save_is_read(bert: Path, tmp_path: Path, random_state: States) -> None:
    torch.save(
        {"model_state_dict": random_state(0)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False
    )  # torch 1.4, with which CheXbert was trained
    assert Reader(find(tmp_path / "old.pth", bert), CPU).read(["clear"], 1)


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (exec, ("raise SystemExit('the pickle ran')",))


def test_nothing_is_unpickled(bert: Path, tmp_path: Path, random_state: States) -> None:
    torch.save({"model_state_dict": random_state(0), "more": Bomb()}, tmp_path / "bomb.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Bomb(), protocol=2))
    for name in ("bomb.pth", "bare.pth"):
        with pytest.raises(UsageError, match="nothing but tensors"):
            Reader(find(tmp_path / name, bert), CPU)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"module.linear_heads.13.bias": None}, r"linear_heads\.13\.bias"),
        ({"module.bert.embeddings.word_embeddings.weight": None}, "word_embeddings"),
        ({"module.linear_heads.13.weight": torch.zeros(4, 16)}, "size mismatch"),
        ({"module.linear_heads.2.bias": torch.tensor([0, 1, torch.nan, 2])}, "NaN"),
    ],
)
def test_a_checkpoint_that_is_not_chexbert_s_is_refused(
    save: Callable[..., Path], bert: Path, random_state: States, changed: dict[str, Tensor | None], message: str
) -> None:
    state = {key: value for key, value in (random_state(0) | changed).items() if value is not None}
    with pytest.raises(UsageError, match=message):
        Reader(find(save(state), bert), CPU)


@pytest.mark.parametrize("data", [b"", b"not a checkpoint", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_checkpoint_is_refused(bert: Path, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "chexbert.pth").write_bytes(data)
    with pytest.raises(UsageError, match=r"chexbert\.pth is not CheXbert's"):
        Reader(find(tmp_path / "chexbert.pth", bert), CPU)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_hidden_layers": 3}, "encoder.layer.2"),
        ({"num_attention_heads": 5}, "divisible"),
        ({"vocab_size": 28996}, "don't belong together"),
        ({"num_attention_heads": "many"}, "no configuration of BERT"),
    ],
)
def test_another_bert_s_configuration_is_refused(
    checkpoint: Path, bert: Path, tmp_path: Path, config: dict[str, object], message: str
) -> None:
    shutil.copy(bert / "vocab.txt", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(json.loads((bert / "config.json").read_text()) | config))
    with pytest.raises(UsageError, match=message):
        Reader(find(checkpoint, tmp_path), CPU)
