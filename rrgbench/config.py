"""The configuration of a run: defaults, then a YAML file, then the command line or the caller's keywords."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from rrgbench import governance
from rrgbench.errors import UsageError, did_you_mean
from rrgbench.specs import Spec, parse

CLASSIFY_THEN_GENERATE = "classify-then-generate"


def _specs(value: Any) -> list[Spec]:
    values = value if isinstance(value, (list, tuple)) else [value]
    return [Spec.of(item) for item in values]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Specs = Annotated[list[Spec], BeforeValidator(_specs), PlainSerializer(lambda specs: [str(spec) for spec in specs])]
Grid = Annotated[Specs, Field(min_length=1)]


class RunConfig(BaseModel):
    """What `rrgbench run` is asked for. A part given several times makes a grid."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    dataset: Grid = [Spec("phantom")]
    split: str | None = None
    system: Grid = [Spec(CLASSIFY_THEN_GENERATE)]
    encoder: Grid = [Spec("vit")]
    renderer: Grid = [Spec("sentences")]
    prompt: Grid = [Spec("zero-shot")]
    llm: Grid = [Spec("template")]
    protocol: Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)] = ["full-text"]
    metric: Grid | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    out: Path = Path("runs")
    seed: Annotated[int, Field(ge=0)] = 0
    failures: Literal["exclude", "empty"] = "exclude"
    resamples: Annotated[int, Field(ge=0)] = 1000
    timeout: Annotated[float, Field(gt=0)] = 300.0
    budget: Annotated[float, Field(gt=0)] | None = None  # US dollars that one command may spend on new replies
    token_budget: Annotated[int, Field(ge=1)] | None = None
    attestation: Path | None = None

    def grid(self) -> Iterator[dict[str, Spec]]:
        """Each system to run: its parts by kind. What a system doesn't compose of parts has none of them."""
        composed = ("encoder", "renderer", "prompt", "llm")
        for dataset, system in itertools.product(self.dataset, self.system):
            if system.name != CLASSIFY_THEN_GENERATE:
                yield {"dataset": dataset, "system": system}
                continue
            for parts in itertools.product(*(getattr(self, kind) for kind in composed)):
                yield {"dataset": dataset, "system": system, **dict(zip(composed, parts, strict=True))}


class TrainConfig(BaseModel):
    """What `rrgbench train` is asked for. ``recipe`` holds options of the encoder's own recipe.

    ``folds``: cross-validate by patient instead, in so many parts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    encoder: Annotated[Spec, BeforeValidator(Spec.of), PlainSerializer(str)]
    dataset: Annotated[Spec, BeforeValidator(Spec.of), PlainSerializer(str)] = Spec("phantom")
    recipe: dict[str, Any] = {}
    folds: Annotated[int, Field(ge=3)] | None = None
    out: Path = Path("models")


class MatrixConfig(BaseModel):
    """What `rrgbench matrix` is asked for. ``recipe`` is that of the trainings, ``by`` how the studies are cut."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    encoder: Grid
    train: Specs = []
    test: Specs = []
    recipe: dict[str, Any] = {}
    by: Annotated[list[str], BeforeValidator(_listed)] = ["sex", "age", "view"]
    split: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    models: Path = Path("models")
    out: Path = Path("runs")
    seed: Annotated[int, Field(ge=0)] = 0
    resamples: Annotated[int, Field(ge=0)] = 1000


Config = TypeVar("Config", bound=BaseModel)


def load(model: type[Config], file: Path | None = None, **given: Any) -> Config:
    """The configuration of a YAML file, with ``given`` (where not None or empty) winning over it."""
    values = _read(file) if file else {}
    values.update({key: value for key, value in given.items() if value is not None and value != []})
    return check(model, values, where=f" of {file}" if file else "")


def check(model: type[Config], values: Mapping[str, Any], where: str = "") -> Config:
    """Validate a configuration. Raises UsageError, in words."""
    if not isinstance(values, Mapping):
        raise UsageError(f"A configuration is a mapping such as {{'encoder': 'vit'}}, not {values!r}.")
    for key in values:
        if key not in model.model_fields:
            known = list(model.model_fields)
            raise UsageError(
                f"The configuration{where} has an unknown key {key!r}.{did_you_mean(str(key), known)}"
                f" Known are: {', '.join(known)}."
            )
    try:
        return model.model_validate(dict(values))
    except UsageError as error:
        raise UsageError(f"The configuration{where}: {error}" if where else str(error)) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(piece) for piece in first["loc"])
        raise UsageError(f"The configuration{where}: {key}: {first['msg']} (given: {first['input']!r}).") from None


def read_yaml(file: Path, what: str) -> Any:
    """What a YAML file holds; ``what`` it is goes into the errors. Raises UsageError."""
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"The {what} {file} can't be read: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: bytes that are no UTF-8, a date such as 2026-02-31
        raise UsageError(f"The {what} {file} is not YAML: {' '.join(str(error).split())}") from error


Trains = TypeVar("Trains", TrainConfig, MatrixConfig)


def with_recipe(config: Trains, texts: Sequence[str] | None) -> Trains:
    """The configuration with options of its recipe from the command line ("epochs=3,lr=1e-4"), which win."""
    given = {key: value for text in texts or () for key, value in parse(f"recipe:{text}").options.items()}
    return config.model_copy(update={"recipe": config.recipe | given})


def _read(file: Path) -> dict[str, Any]:
    values = read_yaml(file, "configuration")
    if not isinstance(values, dict):
        raise UsageError(f"The configuration {file} must be a mapping such as `encoder: vit`.")
    try:
        return {str(key): _expand(value, file) for key, value in values.items()}
    except RecursionError:
        raise UsageError(f"The configuration {file} holds itself (an alias inside its own anchor).") from None


_VARIABLE = re.compile(r"\$\{(\w+)\}")


def _expand(value: Any, file: Path) -> Any:
    """Replace ``${VARIABLE}`` by the environment's, everywhere in a configuration."""
    if isinstance(value, Mapping):
        return {key: _expand(item, file) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, file) for item in value]
    if not isinstance(value, str):
        return value

    def environment(match: re.Match[str]) -> str:
        if governance.is_secret(match[1]):
            raise UsageError(
                f"{file} uses ${{{match[1]}}}, which by its name holds a key: what a configuration says is recorded,"
                " and a key must not be. Leave it out: parts read their keys from the environment themselves."
            )
        if match[1] not in os.environ:
            raise UsageError(f"{file} uses ${{{match[1]}}}, which is not set: export {match[1]}=… first.")
        return os.environ[match[1]]

    return _VARIABLE.sub(environment, value)
