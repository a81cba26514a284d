"""A model's configuration and its weights, where they were asked to be, and what can go wrong with them."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from safetensors import SafetensorError
from transformers.utils import logging as untyped

from rrgbench.errors import LLMError, UsageError
from rrgbench_transformers.chat import one_line

Dtype = Literal["auto", "bf16", "fp16", "fp32"]
Quantise = Literal["8bit", "4bit"]
SMALLER = "a smaller model, quantise=4bit or device_map=auto needs less of one device"
_DTYPES: dict[Dtype, Any] = {
    "auto": "auto",
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
}
_hf: Any = transformers  # much of it has no types


def config_of(folder: Path) -> Any:
    """The configuration of a causal language model that transformers itself knows. Raises UsageError."""
    try:
        config = _hf.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # a kind that needs the repository's code, a damaged file, a fact of the wrong type
        raise UsageError(
            f"The config.json of {folder} can't be used: {one_line(error)} (A repository's own code is never run.)"
        ) from error
    if type(config) not in _hf.MODEL_FOR_CAUSAL_LM_MAPPING:
        raise UsageError(
            f"The model {folder} is of the kind {config.model_type!r}, which is no causal language model of"
            f" transformers {distribution_version('transformers')}."
        )
    return config


def load(folder: Path, place: Any, dtype: Dtype, quantise: Quantise | None) -> Any:
    """The model with its weights, from safetensors only. ``place`` is transformers' ``device_map``. Raises LLMError."""
    options: dict[str, Any] = {}
    if quantise == "8bit":
        options["quantization_config"] = _hf.BitsAndBytesConfig(load_in_8bit=True)
    elif quantise == "4bit":
        options["quantization_config"] = _hf.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=_DTYPES["bf16" if dtype == "auto" else dtype],
        )
    try:
        model, info = _hf.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=_DTYPES[dtype],
            device_map=place,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            **options,
        )
    except (SafetensorError, RuntimeError, ImportError, OSError, ValueError, MemoryError) as error:
        why = f"it is too large for the memory; {SMALLER}" if is_memory(error) else one_line(error)
        raise LLMError("model", f"{folder} can't be loaded: {why}") from None
    if missing := sorted(info["missing_keys"]):  # they would be random numbers
        raise LLMError("model", f"the weights of {folder} lack {len(missing)} tensors, first {missing[0]}")
    return model.eval()


def generation(own: Any, tokenizer: Any, max_tokens: int) -> Any:
    """How replies are generated. Of the model's own settings only what ends a reply. Raises LLMError."""
    named = own.eos_token_id if isinstance(own.eos_token_id, list) else [own.eos_token_id]
    ends = sorted({token for token in (*named, tokenizer.eos_token_id) if token is not None})
    if not ends:
        raise LLMError("model", "neither its tokenizer nor its generation_config.json says what ends a reply")
    pad = ends[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return _hf.GenerationConfig(max_new_tokens=max_tokens, do_sample=False, eos_token_id=ends, pad_token_id=pad)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bar of transformers' and no warnings: they would run into rrgbench's own."""
    settings: Any = untyped
    level, shown = settings.get_verbosity(), settings.is_progress_bar_enabled()
    quantising = logging.getLogger("bitsandbytes")  # it warns at each step
    before = quantising.level
    settings.set_verbosity_error()
    settings.disable_progress_bar()
    quantising.setLevel(logging.ERROR)
    try:
        yield
    finally:
        settings.set_verbosity(level)
        quantising.setLevel(before)
        if shown:
            settings.enable_progress_bar()


def is_memory(error: BaseException) -> bool:
    """Whether the memory was too small: CUDA has a class of its own, a CPU and Apple's GPU say it in words."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return any(words in str(error) for words in ("out of memory", "can't allocate memory", "not enough memory"))


def free() -> None:
    """Give back the memory of what is no longer referred to."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
