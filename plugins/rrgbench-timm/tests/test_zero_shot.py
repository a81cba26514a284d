from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rrgbench_timm import cabs, pixels
from rrgbench_timm.zero_shot import ZeroShot
from safetensors.torch import load_file, save_file

from rrgbench import interfaces, torchvision_ops
from rrgbench.errors import UsageError
from rrgbench.labels import CHEXPERT
from rrgbench.thresholds import best_f1
from rrgbench.types import Failure, Status

torchvision_ops.declare_missing()  # before transformers is imported
pytest.importorskip("transformers", reason="an extra: pip install 'rrgbench-timm[hf]'")

LABELS = ["Edema", "Pleural Effusion"]
SIZE = 32
MEAN, STD = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]


def tokenizer():
    """Words as tokens, whatever their case, with an end of text."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    said = "there is no edema pleural effusion cardiomegaly ."
    words = {word: number for number, word in enumerate(("[PAD]", "[UNK]", "[EOS]", *said.split()))}
    made = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="$A [EOS]", special_tokens=[("[EOS]", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", eos_token="[EOS]")


def saved(folder: Path, kind: str) -> Path:
    """A folder of a tiny random CLIP or SigLIP, with all files that a real one has."""
    import transformers

    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision |= {"image_size": SIZE, "patch_size": 8}
    text = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text |= {"vocab_size": 16, "max_position_embeddings": 12, "eos_token_id": 2, "pad_token_id": 0, "bos_token_id": 1}
    torch.manual_seed(0)
    if kind == "clip":
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
        model = transformers.CLIPModel(config)
    else:
        config = transformers.SiglipConfig(text_config={**text, "projection_size": 16}, vision_config=vision)
        model = transformers.SiglipModel(config)
        model.logit_scale.data.fill_(1.5)
        model.logit_bias.data.fill_(-0.7)
    for parameter in model.parameters():  # the usual start is so small that all images look alike
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.4)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    processor = {"do_center_crop": True, "crop_size": {"height": SIZE, "width": SIZE}, "size": {"shortest_edge": SIZE}}
    (folder / "preprocessor_config.json").write_text(json.dumps({**processor, "image_mean": MEAN, "image_std": STD}))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    return SimpleNamespace(**{kind: saved(tmp_path_factory.mktemp(kind), kind) for kind in ("clip", "siglip")})


def encoder(folder: Path, **options) -> ZeroShot:
    return ZeroShot(folder=folder, **{"labels": LABELS, "threshold": 0.5, "device": "cpu", **options})


def taken(contexts) -> torch.Tensor:
    """What a model takes of the images: three equal channels, scaled by the folder's mean and deviation."""
    grey = torch.from_numpy(np.stack([pixels.read(seen.images[0], SIZE) for seen in contexts]))[:, None] / 255
    return (grey - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


def by_transformers(folder: Path, contexts, prompts: list[str], **how) -> torch.Tensor:
    """The model's own logits, (images, prompts), by its own forward method."""
    from transformers import AutoModel

    text = tokenizer()(prompts, return_tensors="pt", **how)
    with torch.inference_mode():
        model = AutoModel.from_pretrained(folder).eval()
        mask = {} if "max_length" in how else {"attention_mask": text["attention_mask"]}
        return model(input_ids=text["input_ids"], pixel_values=taken(contexts), **mask).logits_per_image.double()


def probabilities(found) -> np.ndarray:
    return np.array([[finding.probability for finding in findings] for findings in found])


def test_siglip_gives_the_probability_that_it_was_trained_to_give(folders: SimpleNamespace, made) -> None:
    contexts = made.contexts(made.studies(5, 1))
    prompts = ["There is edema.", "There is pleural effusion."]
    logits = by_transformers(folders.siglip, contexts, prompts, padding="max_length", max_length=12)
    found = encoder(folders.siglip).encode(contexts)
    assert probabilities(found) == pytest.approx(logits.sigmoid().numpy(), abs=1e-5)
    assert np.ptp(probabilities(found), axis=0).min() > 1e-3  # it does look at the images


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_pair_of_prompts_is_a_softmax_of_the_two(kind: str, folders: SimpleNamespace, made) -> None:
    contexts = made.contexts(made.studies(5, 1))
    prompts = ["edema", "pleural effusion", "no edema", "no pleural effusion"]
    how = {"padding": "max_length", "max_length": 12} if kind == "siglip" else {"padding": True}
    logits = by_transformers(getattr(folders, kind), contexts, prompts, **how)
    expected = torch.stack([logits[:, :2], logits[:, 2:]]).softmax(dim=0)[0]
    found = encoder(getattr(folders, kind), prompt="{label}", negative="no {label}").encode(contexts)
    assert probabilities(found) == pytest.approx(expected.numpy(), abs=1e-5)


def test_clip_with_one_prompt_keeps_the_order_of_its_cosines(folders: SimpleNamespace, made) -> None:
    contexts = made.contexts(made.studies(8, 1))
    logits = by_transformers(folders.clip, contexts, ["There is edema.", "There is pleural effusion."], padding=True)
    found = probabilities(encoder(folders.clip).encode(contexts))
    assert np.array_equal(found.argsort(axis=0), logits.numpy().argsort(axis=0))
    scale = load_file(folders.clip / "model.safetensors")["logit_scale"].exp()
    assert found == pytest.approx(((1 + logits / scale) / 2).numpy(), abs=1e-6)


def test_findings_hang_on_the_image_alone(folders: SimpleNamespace, made) -> None:
    contexts = made.contexts(made.studies(5, 1))
    whole = encoder(folders.clip, negative="There is no {label}.")
    assert isinstance(whole, interfaces.Encoder)
    together = probabilities(whole.encode(contexts))
    alone = np.concatenate([probabilities(whole.encode([seen])) for seen in contexts])
    small = probabilities(encoder(folders.clip, negative="There is no {label}.", batch=2).encode(contexts))
    assert together == pytest.approx(alone, abs=1e-5)
    assert together == pytest.approx(small, abs=1e-5)


def test_all_of_chexperts_labels_are_asked_for_by_default(folders: SimpleNamespace, made) -> None:
    (found,) = encoder(folders.clip, labels=None).encode(made.contexts(made.studies(1, 1)))
    assert found.vocabulary == CHEXPERT
    assert set(found.by_label) == set(CHEXPERT.labels)


def test_a_bad_image_costs_its_own_study_only(folders: SimpleNamespace, made) -> None:
    contexts = made.contexts(made.studies(3, 1))
    contexts[1] = replace(contexts[1], images=(made.image(made.unreadable),))
    contexts.append(replace(contexts[0], images=()))
    found = encoder(folders.clip).encode(contexts)
    assert [isinstance(each, Failure) for each in found] == [False, True, False, True]
    assert "truncated" in found[1].message
    streamed = [each for some in encoder(folders.clip).stream(iter(contexts)) for each in some]
    assert streamed == found


def test_thresholds_are_fitted_on_other_patients(folders: SimpleNamespace, made) -> None:
    validate, test = made.studies(60, 2), made.studies(4, 3)
    test = [replace(study, patient_id=f"other {i}", study_id=f"t{i}") for i, study in enumerate(test)]
    zero_shot = encoder(folders.clip, threshold="fit")
    before = zero_shot.signature
    assert zero_shot.calibrate(validate) == []
    assert zero_shot.signature.startswith(before)
    assert zero_shot.signature != before
    p = probabilities(encoder(folders.clip).encode(made.contexts(validate)))
    found = zero_shot.encode(made.contexts(test))
    for column, label in enumerate(LABELS):
        limit = best_f1([study.labels.status(label) is Status.PRESENT for study in validate], p[:, column])
        for findings in found:
            assert (findings.status(label) is Status.PRESENT) == (findings.by_label[label].probability >= limit)


def test_without_labels_or_with_a_number_nothing_is_fitted(folders: SimpleNamespace, made) -> None:
    unlabelled = [replace(study, labels=None) for study in made.studies(3, 2)]
    (warning,) = encoder(folders.clip, threshold="fit").calibrate(unlabelled)
    assert "no labelled studies" in warning
    fixed = encoder(folders.clip, threshold=0.0)
    assert fixed.calibrate(made.studies(3, 2)) == []
    (found,) = fixed.encode(made.contexts(made.studies(1, 1)))
    assert found.having(Status.PRESENT) == tuple(found)
    assert fixed.thresholds == dict.fromkeys(LABELS, 0.0)


def test_cabs_by_its_formula_on_a_drawn_map() -> None:
    """One text, three tokens of different lengths: cosines 1, 0 and .6 with it; temperature .5."""
    text = torch.tensor([[2.0, 0.0]])
    tokens = torch.tensor([[[3.0, 0.0], [0.0, 1.0], [0.3, 0.4]]])
    cosine, similarity = cabs.pooled(text, tokens, 0.5)
    assert similarity[0, 0].tolist() == pytest.approx([2.0, 0.0, 1.2])
    a, b, c = (float(np.exp(s)) for s in (2.0, 0.0, 1.2))
    x, y = (a + 0.6 * c) / (a + b + c), (b + 0.8 * c) / (a + b + c)  # tokens of length 1, averaged
    assert cosine.item() == pytest.approx(x / (x * x + y * y) ** 0.5)


def test_cabs_finds_the_one_token_that_a_text_is_of() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(4, 49, 32, generator=generator)
    text = torch.stack([tokens[image, 10 + image] for image in range(4)])
    cosine, similarity = cabs.pooled(text, tokens, 0.02)
    assert similarity.diagonal().argmax(dim=0).tolist() == [10, 11, 12, 13]  # (tokens, images)
    assert (cosine.diagonal() > 0.99).all()
    others = cosine[~torch.eye(4, dtype=torch.bool)]
    assert (others < 0.9).all()


def test_cabs_pools_clips_tokens_and_maps_them(folders: SimpleNamespace, made) -> None:
    from transformers import CLIPModel

    tall = made.image(lambda: made.picture(1, (True, False, True))[:, 16:48])
    contexts = [*made.contexts(made.studies(2, 1)), replace(made.contexts(made.studies(1, 1))[0], images=(tall,))]
    zero_shot = encoder(folders.clip, pooling="cabs")
    model = CLIPModel.from_pretrained(folders.clip).eval()
    with torch.inference_mode():
        x = taken(contexts)
        hidden = model.vision_model(pixel_values=x).last_hidden_state
        tokens = model.visual_projection(model.vision_model.post_layernorm(hidden))
        said = tokenizer()(["There is edema.", "There is pleural effusion."], padding=True, return_tensors="pt")
        text = model.get_text_features(said["input_ids"], said["attention_mask"]).pooler_output
        # The class token, seen as the others are, is what the model itself pools.
        assert torch.allclose(tokens[:, 0], model.get_image_features(x).pooler_output, atol=1e-5)
        cosine, similarity = cabs.pooled(text, tokens, float(1 / model.logit_scale.exp()))
    assert probabilities(zero_shot.encode(contexts)) == pytest.approx(((1 + cosine) / 2).numpy(), abs=1e-5)
    maps = zero_shot.saliency(contexts, ["Pleural Effusion"], "similarity")
    assert [found["Pleural Effusion"].shape for found in maps] == [(32, 32), (32, 32), (32, 16)]
    grid = similarity[0, 1, 1:].sigmoid().view(4, 4).numpy()
    whole = maps[0]["Pleural Effusion"]
    assert np.unravel_index(whole.argmax(), whole.shape)[0] // 8 == grid.argmax() // 4
    assert (whole.min() >= grid.min() - 1e-5) and (whole.max() <= grid.max() + 1e-5)


def test_maps_are_given_where_there_are_any(folders: SimpleNamespace, made) -> None:
    contexts = made.contexts(made.studies(1, 1))
    with pytest.raises(UsageError, match="pooling=cabs only"):
        encoder(folders.clip).saliency(contexts, LABELS, "similarity")
    with pytest.raises(UsageError, match="was not asked for 'Fracture'"):
        encoder(folders.clip, pooling="cabs").saliency(contexts, ["Fracture"], "similarity")
    with pytest.raises(UsageError, match="image tokens in the space of texts"):
        encoder(folders.siglip, pooling="cabs").encode(contexts)


def test_other_weights_are_another_signature(folders: SimpleNamespace, tmp_path: Path) -> None:
    assert encoder(folders.clip).signature != encoder(folders.siglip).signature
    with pytest.raises(UsageError, match=r"no folder.*hub"):
        encoder(tmp_path / "nothing")
    with pytest.raises(UsageError, match="model=NAME, of the hub, or folder=FOLDER"):
        ZeroShot()


def test_a_folder_that_can_not_be_used_is_refused(folders: SimpleNamespace, made, tmp_path: Path) -> None:
    contexts = made.contexts(made.studies(1, 1))

    def refused(says: str) -> None:
        with pytest.raises(UsageError, match=says):
            encoder(folder).encode(contexts)

    folder = saved(tmp_path / "clip", "clip")
    weights = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in weights.items() if k != "text_projection.weight"}, folder / "model.safetensors")
    refused("lack 1 tensors of the network, first text_projection")
    save_file({**weights, "logit_scale": torch.tensor(float("nan"))}, folder / "model.safetensors")
    refused("NaN or infinite numbers, first in 'logit_scale'")
    save_file(weights, folder / "model.safetensors")
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**processor, "crop_size": 64}))
    refused("images of 64 px, its network takes 32 px")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    refused("can't be loaded")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"prompt": "There is."}, "where the label stands"), ({"batch": 0}, "batch"), ({"threshold": 2.0}, "threshold=2")],
)
def test_options_that_make_no_sense_are_refused(wrong: dict, says: str, folders: SimpleNamespace) -> None:
    with pytest.raises(UsageError, match=says):
        encoder(folders.clip, **wrong)
