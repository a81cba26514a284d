"""The RadGraph model: texts to entities and relations, one text at a time, by the package radgraph."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import warnings
from collections.abc import Iterator
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from rrgbench.cache import file_digest
from rrgbench.errors import RunError, UsageError
from rrgbench_radgraph.rewards import Annotation

ModelType = Literal["radgraph", "radgraph-xl", "modern-radgraph-xl", "echograph"]

# The relation scorer holds features of every pair of candidate spans, half as many as tokens: with a BERT-base some
# 10 GB for 1,000 tokens (1.5 GB measured for 400). A longer report fails by name and doesn't take the machine down.
MAX_TOKENS = 1000

_FILES = ("config.json", "weights.th", "vocabulary")
_OTHERWISE = "or give annotations: radgraph:report_annotations=A.json,reference_annotations=B.json"


class Annotator:
    """A model of the package radgraph, loaded when the first text comes.

    Raises UsageError at once where the package or the weights are not there: it never downloads weights.
    """

    def __init__(self, model_type: ModelType, model_cache_dir: Path | None) -> None:
        if lacking := [name for name in ("radgraph", "torch", "transformers") if not importlib.util.find_spec(name)]:
            raise UsageError(
                f"The RadGraph model needs the Python module {lacking[0]!r}: pip install 'rrgbench-radgraph[model]',"
                f" {_OTHERWISE}."
            )
        if model_type == "modern-radgraph-xl" and int(metadata.version("transformers").split(".")[0]) >= 5:
            raise UsageError(
                "modern-radgraph-xl gives wrong annotations under transformers 5 (Stanford-AIMI/radgraph#16): install"
                f" transformers<5, take radgraph-xl, {_OTHERWISE}."
            )
        self.model_type = model_type
        self._version = metadata.version("radgraph")
        self._folder = (model_cache_dir or _package_folder(self._version)) / model_type
        if absent := [name for name in _FILES if not (self._folder / name).exists()]:
            raise UsageError(
                f"The RadGraph model {model_type!r} is not here: {_shown(self._folder)} has no {absent[0]}. With a"
                f" network, python -c \"from radgraph import RadGraph; RadGraph(model_type='{model_type}')\" fetches"
                f" it (hub repository StanfordAIMI/RRG_scorers) with the BERT it stands on; {_OTHERWISE}."
            )

    @cached_property
    def signature(self) -> str:
        """Package, model and the digest of its files."""
        files = [self._folder / "config.json", self._folder / "weights.th", *sorted(self._folder.glob("vocabulary/*"))]
        whole = hashlib.sha256("".join(f"{file.name} {file_digest(file)}\n" for file in files).encode()).hexdigest()
        return f"radgraph:{self._version}|model:{self.model_type}|weights:{whole[:12]}"

    def annotate(self, text: str) -> Annotation:
        """The annotation of one text that is not empty. Raises RunError for a text that the model can't do."""
        model = self._model
        import torch
        from radgraph.utils import preprocess_reports  # type: ignore[import-untyped]

        tokens = len(preprocess_reports([text], self.model_type)[0]["sentences"][0])
        if tokens > MAX_TOKENS:
            raise RunError(f"{tokens} tokens, more than {MAX_TOKENS}")
        try:
            with _quietly(), torch.inference_mode():
                given: dict[str, Any] = model([text])
        except Exception as error:
            raise RunError(type(error).__name__) from error  # what it says may quote the report
        if "0" not in given:
            raise RunError("the package radgraph left it out")
        return {"text": given["0"]["text"], "entities": given["0"]["entities"]}

    @cached_property
    def _model(self) -> Any:
        """The package's model."""
        try:
            with _quietly():
                from rrgbench import torchvision_ops
                from rrgbench_radgraph import tokenizer_methods

                torchvision_ops.declare_missing()
                tokenizer_methods.put_back()
                from radgraph import RadGraph  # type: ignore[import-untyped]

                return RadGraph(model_type=self.model_type, model_cache_dir=str(self._folder.parent))
        except Exception as error:
            raise UsageError(
                f"The RadGraph model in {_shown(self._folder)} can't be loaded ({type(error).__name__}:"
                f" {' '.join(str(error).split())[:300]}). The BERT that its config.json names must be in the hub's"
                " cache (configuration and vocabulary)."
            ) from error


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """What the package prints goes nowhere, for stdout is for results; nor do its warnings (a text of one word)."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _shown(folder: Path) -> str:
    """A folder as messages show it, which end in scores.json: whose home it is in is nobody else's affair."""
    home = str(Path.home())
    return "~" + str(folder)[len(home) :] if folder.is_relative_to(home) else str(folder)


def _package_folder(version: str) -> Path:
    """Where the package keeps its models."""
    from appdirs import user_cache_dir  # type: ignore[import-untyped]

    return Path(user_cache_dir("radgraph")) / version
