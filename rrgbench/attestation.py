"""The only way past the gate: a person's word that a host keeps nothing of what it is sent, in a file that is kept."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

from rrgbench.config import read_yaml
from rrgbench.errors import UsageError
from rrgbench.governance import REQUIREMENT

VALID_DAYS = 90

_FORM = (
    "An attestation holds dataset, host, person, date (as 2026-01-31), and zero_retention, no_training,"
    " no_human_review, each true; for api.openai.com zero_retention_statement, too. docs/governance.md has an example."
)


def _true(value: bool) -> bool:
    if not value:
        raise ValueError(f"must be true; where the service does not guarantee it, it can't be used. {REQUIREMENT}")
    return value


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


Text = Annotated[str, AfterValidator(_filled)]
Guaranteed = Annotated[bool, AfterValidator(_true)]


class Attestation(BaseModel):
    """That what is derived from ``dataset`` may be sent to ``host``, for 90 days from ``date``, on a person's word."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dataset: Text
    host: Text
    zero_retention: Guaranteed
    no_training: Guaranteed
    no_human_review: Guaranteed
    person: Text
    date: datetime.date
    zero_retention_statement: Text | None = None

    @model_validator(mode="after")
    def _openai(self) -> Attestation:
        # Zero retention is no setting there: it has to be agreed on.
        if f".{self.host.lower().rstrip('.')}".endswith(".openai.com") and not self.zero_retention_statement:
            raise ValueError(f"for {self.host}, zero_retention_statement must say how it was agreed with the vendor")
        return self

    def in_force(self) -> Attestation:
        """This attestation, if it is valid today. Raises UsageError."""
        what = f"The attestation of {self.person} for the dataset {self.dataset} and the host {self.host}"
        age = (datetime.date.today() - self.date).days
        if age < 0:
            raise UsageError(f"{what} is dated {self.date}, which is in the future: date it on the day it is made.")
        if age > VALID_DAYS:
            raise UsageError(
                f"{what} is of {self.date} and held for {VALID_DAYS} days. {REQUIREMENT} Look at the service's present"
                " policies and settings, and date it anew if they still hold."
            )
        return self


def read(file: Path | None) -> tuple[Attestation, ...]:
    """The attestations of a YAML file, which holds one or a list of them. Raises UsageError, in words."""
    if file is None:
        return ()
    value = read_yaml(file, "attestation")
    return tuple(_one(each, file) for each in (value if isinstance(value, list) else [value]))


def _one(value: Any, file: Path) -> Attestation:
    if not isinstance(value, dict):
        raise UsageError(f"The attestation {file} is not a mapping, nor a list of mappings. {_FORM}")
    try:
        return Attestation.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(piece) for piece in first["loc"])
        says = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise UsageError(f"The attestation {file}: {f'{key}: ' if key else ''}{says}. {_FORM}") from None
