from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from rrgbench_timm import adapting, backbones, hf_folder, models
from safetensors.torch import load_file, save_file

from rrgbench.errors import UsageError

transformers = pytest.importorskip("transformers")

HERE = {"size": 32, "in_chans": 3, "classes": 4, "seed": 0}
TINY = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
MLP = {"intermediate_size": 32}
TEXT = {**MLP, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9}
KINDS: dict[str, dict[str, Any]] = {
    "dinov2": {"mlp_ratio": 2},
    "dinov2_with_registers": {"mlp_ratio": 2, "num_register_tokens": 2},
    "dinov3_vit": {**MLP, "num_register_tokens": 2},
    "vit": MLP,
    "siglip_vision_model": MLP,
    "clip_vision_model": MLP,
}
PROCESSOR = {
    "do_center_crop": True,
    "crop_size": {"height": 48, "width": 48},
    "size": {"shortest_edge": 56},
    "image_mean": [0.5307] * 3,
    "image_std": [0.2583] * 3,
}


def saved(kind: str, folder: Path) -> Any:
    """A tiny random model of a kind as transformers saves it, with what its image processor says."""
    torch.manual_seed(1)
    if kind in ("clip", "siglip"):
        word_ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
        text = {**TEXT, **word_ids, **({"projection_size": 16} if kind == "siglip" else {})}
        config = transformers.CONFIG_MAPPING[kind](text_config=text, vision_config={**TINY, **MLP})
    else:
        config = transformers.CONFIG_MAPPING[kind](**TINY, **KINDS[kind])
    model = transformers.AutoModel.from_config(config)
    with hf_folder.quiet():
        model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR), encoding="utf-8")
    return model.eval()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, offline."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, Any]]:
    """Of each kind: the name by which ``create`` finds it, and the model of transformers."""
    out = {}
    for kind in (*KINDS, "clip", "siglip"):
        folder = tmp_path_factory.mktemp("private") / f"my-{kind}"
        model = saved(kind, folder)
        out[kind] = (f"hf:{folder}", model)
    return out


def pictures(channels: int = 3, size: int = 32) -> torch.Tensor:
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0))


def rewritten(folder: str, into: Path, **config: Any) -> str:
    """A copy of a folder whose config.json says something else."""
    source = Path(folder.removeprefix("hf:"))
    for file in source.iterdir():
        (into / file.name).write_bytes(file.read_bytes())
    path = into / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **config}), encoding="utf-8")
    return f"hf:{into}"


@pytest.mark.parametrize("size", [32, 48])
@pytest.mark.parametrize("kind", [*KINDS, "clip", "siglip"])
def test_features_are_those_that_transformers_gives(folders: dict[str, Any], kind: str, size: int) -> None:
    name, theirs = folders[kind]
    model = models.create(name, {}, **{**HERE, "size": size}, pretrained=True)
    with torch.no_grad():
        tower = getattr(theirs, "vision_model", theirs)
        larger = {} if kind.startswith("dino") else {"interpolate_pos_encoding": True}
        wanted = tower(pictures(size=size), **larger)
        # ViT's pooler is an extra layer with a tanh; a linear classifier of it reads the class token (as timm's does).
        pooled = wanted.last_hidden_state[:, 0] if kind == "vit" else wanted.pooler_output
        got = models.pooled(model, pictures(size=size))
        assert torch.allclose(got, pooled, atol=1e-6)
        assert model.forward_features(pictures(size=size)).shape[1] == (size // 8) ** 2 + model.num_prefix_tokens
        assert torch.equal(model(pictures(size=size)), model.head(got))


@pytest.mark.parametrize("kind", KINDS)
def test_deeper_features_end_with_the_last_blocks(folders: dict[str, Any], kind: str) -> None:
    model = models.create(folders[kind][0], {}, **HERE, pretrained=True)
    with torch.no_grad():
        if kind == "siglip_vision_model":
            with pytest.raises(UsageError, match="no class token"):
                models.pooled(model, pictures(), blocks=2)
            return
        last = models.pooled(model, pictures())
        deep = models.pooled(model, pictures(), blocks=3, average=True)
        patches = model.forward_features(pictures())[:, model.num_prefix_tokens :].mean(dim=1)
        assert deep.shape == (2, 64)
        assert torch.allclose(deep[:, 32:], torch.cat([last, patches], 1), atol=1e-6)
        assert not torch.allclose(deep[:, 16:32], last, atol=1e-3)
        with pytest.raises(UsageError, match="4 blocks"):
            models.pooled(model, pictures(), blocks=4)


@pytest.mark.parametrize("kind", [*KINDS, "clip", "siglip"])
def test_a_card_makes_the_network_again_without_its_folder(folders: dict[str, Any], kind: str) -> None:
    name, _ = folders[kind]
    model = models.create(name, {}, **HERE, pretrained=True)
    plain, arguments = models.described(name, {}, model)
    assert plain == f"hf:my-{kind}"
    assert str(Path(name).parent) not in json.dumps(arguments)
    again = models.create("hf:someone/gone", json.loads(json.dumps(arguments)), **HERE)
    models.set_state(again, {key: tensor.numpy() for key, tensor in model.state_dict().items()})
    with torch.no_grad():
        assert torch.equal(again(pictures()), model(pictures()))


def test_a_repositorys_name_is_kept_and_a_folders_place_is_not(tmp_path: Path) -> None:
    assert backbones.plain_name("hf:microsoft/rad-dino") == "hf:microsoft/rad-dino"
    assert backbones.plain_name(f"hf:{tmp_path}/gone/rad-dino") == "hf:rad-dino"
    assert backbones.plain_name("hf:~/secret/patients/rad-dino/") == "hf:rad-dino"


def test_size_and_normalisation_are_the_image_processors(folders: dict[str, Any], tmp_path: Path) -> None:
    name, _ = folders["dinov2"]
    assert models.default_size(name) == 48
    assert models.pretrained_normalisation(name) == ((0.5307,) * 3, (0.2583,) * 3)
    bare = rewritten(name, tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{}", encoding="utf-8")
    assert models.default_size(bare) == 32
    with pytest.raises(UsageError, match="image_mean.*normalise=imagenet"):
        models.pretrained_normalisation(bare)


def test_one_channel_is_given_to_all_three(folders: dict[str, Any]) -> None:
    name, _ = folders["dinov2"]
    grey = models.create(name, {}, **{**HERE, "in_chans": 1}, pretrained=True)
    with torch.no_grad():
        assert torch.equal(grey(pictures(1)), grey(pictures(1).expand(-1, 3, -1, -1)))


def test_random_weights_hang_on_the_seed(folders: dict[str, Any]) -> None:
    name, _ = folders["vit"]
    first, second, other = (models.create(name, {}, **{**HERE, "seed": seed}) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.head.weight, other.head.weight)
    block = "backbone.layernorm.weight"
    assert block in first.state_dict()


def test_drop_path_and_dropout(folders: dict[str, Any]) -> None:
    model = models.create(folders["dinov2"][0], {}, **HERE, dropout=0.4, drop_path=0.5)
    assert model.head_drop.p == 0.4
    assert backbones.arguments(model)["config"]["drop_path_rate"] == 0.0  # a choice of the training, not of the model
    torch.manual_seed(0)
    model.head_drop.p = 0.0
    model.train()
    assert not torch.equal(model(pictures()), model(pictures()))
    with pytest.raises(UsageError, match=r"no drop path, so drop_path=0\.5"):
        models.create(folders["vit"][0], {}, **HERE, drop_path=0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_that_learns_gets_a_gradient_and_a_layer(folders: dict[str, Any], kind: str) -> None:
    model = models.create(folders[kind][0], {}, **HERE)
    model(pictures()).sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())
    groups = adapting.parameter_groups(model, 1.0, 0.05, 0.5)
    names = {id(p): name for name, p in model.named_parameters()}
    share = {names[id(p)]: group["share"] for group in groups for p in group["params"]}
    assert set(share) == {name for name, p in model.named_parameters() if p.requires_grad}
    assert {share[name] for name in share if name.startswith("backbone.embeddings.")} == {0.0625}
    blocks = ({share[names[id(p)]] for p in block.parameters()} for block in model.blocks)
    assert list(blocks) == [{0.125}, {0.25}, {0.5}]
    assert share["head.weight"] == 1
    undecayed = {names[id(p)] for group in groups if not group["weight_decay"] for p in group["params"]}
    assert not [name for name in set(share) - undecayed if "position" in name or "cls_token" in name]


@pytest.mark.parametrize("kind", ["dinov2", "siglip_vision_model"])
def test_lora_and_freezing(folders: dict[str, Any], kind: str) -> None:
    model = models.create(folders[kind][0], {}, **HERE)
    plain = list(model.state_dict())
    adapting.freeze(model, ["backbone"])
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {"head.weight", "head.bias"}
    adapting.add_lora(model, 2)
    model(pictures()).sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert list(adapting.merge_lora(model).state_dict()) == plain


def test_a_repository_in_the_hubs_cache_is_found(folders: dict[str, Any], cache: Path) -> None:
    name, _ = folders["dinov2"]
    snapshot = cache / "models--someone--rad-tiny" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    rewritten(name, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40, encoding="utf-8")
    model, wanted = (models.create(one, {}, **HERE, pretrained=True) for one in ("hf:someone/rad-tiny", name))
    assert models.default_size("hf:someone/rad-tiny") == 48
    assert models.described("hf:someone/rad-tiny", {}, model)[0] == "hf:someone/rad-tiny"
    with torch.no_grad():
        assert torch.equal(model(pictures()), wanted(pictures()))
    (snapshot / "model.safetensors").unlink()
    assert "has no model.safetensors" in refusal("hf:someone/rad-tiny", pretrained=True)


# --- refusals ---------------------------------------------------------------------------------------------------------


def refusal(name: str, model_args: dict[str, Any] | None = None, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        models.create(name, model_args or {}, **{**HERE, **options})
    return str(caught.value)


def test_a_model_that_is_nowhere_is_refused_offline(tmp_path: Path) -> None:
    assert "hf download microsoft/rad-dino" in refusal("hf:microsoft/rad-dino", pretrained=True)
    assert "is no folder" in refusal(f"hf:{tmp_path}/gone")


def test_sizes_and_channels_that_do_not_fit_are_refused(folders: dict[str, Any]) -> None:
    name, _ = folders["vit"]
    assert "patches of 8 px, which 45 px is no multiple of. Take size=40 or size=48" in refusal(name, size=45)
    assert "takes 3 channels, not 2" in refusal(name, in_chans=2)


def test_other_kinds_of_model_are_refused(folders: dict[str, Any], tmp_path: Path) -> None:
    name = rewritten(folders["vit"][0], tmp_path, model_type="bert")
    message = refusal(name)
    assert "of the kind 'bert'" in message
    assert "dinov2" in message


def test_code_and_files_that_a_config_names_are_left_alone(folders: dict[str, Any], tmp_path: Path) -> None:
    code = "open(__file__ + '.ran', 'w').close()"
    (tmp_path / "evil.py").write_text(code, encoding="utf-8")
    auto = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    name = rewritten(
        folders["vit"][0], tmp_path, auto_map=auto, _attn_implementation="someone/kernel", _name_or_path="/x"
    )
    model = models.create(name, {}, **HERE, pretrained=True)
    assert not (tmp_path / "evil.py.ran").exists()
    facts = backbones.arguments(model)["config"]
    assert not {"auto_map", "_attn_implementation", "_name_or_path"} & set(facts)
    for bad in ({"_attn_implementation": "someone/kernel"}, {"quantization_config": {}}, {"auto_map": auto}):
        assert f"can't hold {next(iter(bad))}" in refusal("hf:x", {"config": {**facts, **bad}})


def test_a_config_with_wrong_facts_is_refused(folders: dict[str, Any]) -> None:
    facts = backbones.arguments(models.create(folders["vit"][0], {}, **HERE))["config"]
    assert "is wrong" in refusal("hf:x", {"config": {**facts, "hidden_size": "many"}})
    assert "is wrong" in refusal("hf:x", {"config": {**facts, "patch_size": 0}})
    assert "makes no network" in refusal("hf:x", {"config": {**facts, "num_attention_heads": 0}})
    assert "makes no network" in refusal("hf:x", {"config": {**facts, "hidden_size": -16}})
    assert "beside pretrained weights" in refusal("hf:x", {"config": facts}, pretrained=True)
    assert "can't hold depth" in refusal(folders["vit"][0], {"depth": 3})
    assert "not square" in refusal("hf:x", {"config": {**facts, "patch_size": [8, 4]}})


def test_weights_that_are_cut_short_missing_or_no_numbers_are_refused(folders: dict[str, Any], tmp_path: Path) -> None:
    name = rewritten(folders["dinov2"][0], tmp_path)
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert "model.safetensors is no whole safetensors file" in refusal(name, pretrained=True)
    path.write_bytes(whole)
    tensors = load_file(path)
    norm = tensors.pop("layernorm.weight")
    save_file(tensors, path)
    assert "lack 1 tensors of the network, first layernorm.weight" in refusal(name, pretrained=True)
    save_file({**tensors, "layernorm.weight": norm * float("nan")}, path)
    assert "NaN or infinite numbers, first in 'layernorm.weight'" in refusal(name, pretrained=True)
    save_file({**tensors, "layernorm.weight": norm[:3].clone()}, path)
    assert "don't fit its config.json" in refusal(name, pretrained=True)


def test_pickled_weights_are_not_opened(folders: dict[str, Any], tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "harmed",))

    name = rewritten(folders["dinov2"][0], tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"x": Harmful()}))
    assert "pytorch_model.bin is a pickle, which is not opened" in refusal(name, pretrained=True)
    assert not (tmp_path / "harmed").exists()


def test_weights_in_several_files_are_read(folders: dict[str, Any], tmp_path: Path) -> None:
    name, _ = folders["dinov2"]
    parted = rewritten(name, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    places = {key: f"model-{i % 2 + 1}-of-2.safetensors" for i, key in enumerate(tensors)}
    for file in set(places.values()):
        save_file({key: tensors[key] for key in tensors if places[key] == file}, tmp_path / file)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    whole, again = (models.create(one, {}, **HERE, pretrained=True) for one in (name, parted))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
