"""What may leave this machine. Nothing that is derived from data that is not open does, but for what a person attests.

The gate stands before the first byte: hosts are checked while a run is planned, again before it begins, and again
before each call. What is published is scanned on its way out.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rrgbench.errors import LLMError, RunError, UsageError

if TYPE_CHECKING:
    from rrgbench.attestation import Attestation

TERMS = ("open", "private", "credentialed")  # from the loosest to the strictest
UNDECLARED = "a host that it does not declare"

REQUIREMENT = (
    'PhysioNet ("Use of MIMIC Data with Large Language Models and Online Services", 2025-09-24) requires of any online'
    " service zero data retention, no use for training and no human review, for MIMIC data and all that is derived from"
    " them; it strongly recommends local models and endorses no platform. The terms of other data may ask for as much."
)


# --- terms ------------------------------------------------------------------------------------------------------------


def check_terms(what: str, terms: str) -> None:
    """Raise UsageError for terms that are not known."""
    if terms not in TERMS:
        raise UsageError(f"The terms of {what} are one of {', '.join(TERMS)}, not {terms!r}.")


def strictest(terms: Iterable[str]) -> str:
    """The strictest of several terms; open where there are none."""
    return max(terms, key=TERMS.index, default="open")


# --- hosts ------------------------------------------------------------------------------------------------------------


def host_of(part: Any) -> str | None:
    """The remote host that a part's object sends to, or None. Loopback is local.

    A language model must say where it runs; one that doesn't is ``UNDECLARED``, and so is a host that is no name.
    """
    host = getattr(part, "host", UNDECLARED if hasattr(part, "complete") else None)
    if host is None or _is_loopback(host):
        return None
    return host if isinstance(host, str) and host.strip() else UNDECLARED


def _is_loopback(host: Any) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False


def check_hosts(
    dataset: str, terms: str, part: str, hosts: Iterable[str], attested: Sequence[Attestation] = ()
) -> list[Attestation]:
    """The attestations by which a part may send what is derived from a dataset to its hosts.

    ``dataset`` is the dataset's name, ``terms`` are the strictest of the run. Raises UsageError for a host that nobody
    attests, where the terms are not open.
    """
    used = []
    for host in hosts if terms != "open" else ():
        mine = [each for each in attested if (each.dataset, each.host) == (dataset, host)]
        if host == UNDECLARED or not mine:
            there = "".join(f" There is one for the dataset {a.dataset} and the host {a.host}." for a in attested)
            how = "declare its host" if host == UNDECLARED else "attest what its provider guarantees (--attestation)"
            raise UsageError(
                f"Data of this run is {terms} (dataset {dataset}), and {part} sends what is derived from it to {host}."
                f" {REQUIREMENT} Use an LLM on this machine (--llm local, --llm template, or a base_url on 127.0.0.1),"
                f" or {how}: see docs/governance.md.{there} If the data is your own and free to share, say so in the"
                " spec of its table or reports file: terms=open."
            )
        used.append(max(mine, key=lambda each: each.date).in_force())
    return used


def check_again(part: str, hosts: Iterable[str], allowed: Collection[str] | None) -> None:
    """Raise RunError where a part has another host than when the run was planned. ``allowed`` None: any host."""
    if allowed is not None and (new := [host for host in hosts if host not in allowed]):
        raise RunError(f"{part} {_CHANGED.format(new[0])}")


def check_call(llm: Any, allowed: Collection[str] | None) -> None:
    """Raise LLMError where a language model's host is not one that was checked. ``allowed`` None: any host."""
    if allowed is not None and (host := host_of(llm)) is not None and host not in allowed:
        raise LLMError("governance", f"the language model {_CHANGED.format(host)}")


_CHANGED = "would send to {}, which was not checked when the run was planned; the data of this run is not open."


# --- keys -------------------------------------------------------------------------------------------------------------

_SECRET_OPTION = re.compile(
    r"(.*[_-])?(api_?key|access_?key|secret_?key|auth_?key|token|secret|password|passwd|passphrase|authorization)",
    re.IGNORECASE,
)
_SECRET_VARIABLE = re.compile("KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)


def check_options(what: str, options: Mapping[str, Any]) -> None:
    """Raise UsageError for an option that would carry a key, without its value: options are kept in the run folder."""
    for name, value in options.items():
        if _SECRET_OPTION.fullmatch(str(name)):
            raise UsageError(
                f"The {what} can't be given {name!r}: options are recorded, and a key must not be. Set the environment"
                " variable that the part reads its key from."
            )
        if isinstance(value, Mapping):
            check_options(what, value)


def is_secret(variable: str) -> bool:
    """Whether an environment variable of this name may hold a key."""
    return bool(_SECRET_VARIABLE.search(variable))


# --- the way out ------------------------------------------------------------------------------------------------------

# Eight digits are an id where they stand alone: not in a hash (name@1d61bf6e), not in a decimal number, not as a seed.
_MARKS = {
    "a MIMIC-CXR study_id": re.compile(r"(?<![^\W_])s5\d{7}(?![^\W_])", re.IGNORECASE),
    "a MIMIC subject_id": re.compile(r"(?<![^\W_])p1\d{7}(?![^\W_])", re.IGNORECASE),
    "what may be a MIMIC id": re.compile(r"(?<![^\W_])(?<!@)(?<!\d\.)(?<!seed[:=])[15]\d{7}(?![^\W_])(?!\.\d)"),
    "a MIMIC-CXR image id": re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{8}){4}\b"),
    "a de-identification mark": re.compile("___+"),
}

# What scores.json may hold: figures of the whole run. A new key is added here when it is an aggregate, too.
_AGGREGATES = {
    "": "schema_version run_id dataset dataset_spec dataset_digest split system parts specs baseline baseline_notes"
    " synthetic terms n n_patients coverage failures failures_count_as resamples intervals created costs reports_digest"
    " scores",
    "costs": "encode_seconds write_seconds tokens usd calls",
    "scores": "metric protocol value ci n n_failed higher_is_better signature reason worst best",
}


def scan(text: str) -> list[str]:
    """What in a text marks it as MIMIC data: ids (masked) and ``___``. Each once, in words."""
    found = (f"{what} ({_masked(m[0])})" for what, pattern in _MARKS.items() for m in pattern.finditer(text))
    return list(dict.fromkeys(found))


def _masked(text: str) -> str:
    return text if text.startswith("_") else text[:2] + "*" * (len(text) - 2)


def check_published(text: str, where: str) -> None:
    """Raise UsageError where a text that is about to be published holds what ``scan`` finds."""
    if found := scan(text):
        raise UsageError(
            f"{where} holds {found[0]}, and data that is not open may be published as aggregates only. Nothing was"
            " written. Take it out (a name of a system, a path, a spec) or leave that run out."
        )


def check_aggregates(record: Mapping[str, Any], where: str) -> None:
    """Raise UsageError where the scores.json of data that is not open holds more than aggregates."""
    mappings = [("", record), ("costs", record.get("costs")), *(("scores", each) for each in record.get("scores", ()))]
    for key, mapping in mappings:
        known = _AGGREGATES[key].split()
        if unknown := [name for name in mapping or () if name not in known]:
            raise UsageError(
                f"{where} holds {f'{key}, {unknown[0]}'.strip(', ')!r}, which is no aggregate that rrgbench knows; data"
                " that is not open may be published as aggregates only. Nothing was written. Remove it, or leave that"
                " run out."
            )
    for path, text in _texts(record, ""):
        check_published(text, f"{where}{path}")


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every text inside a JSON value, its keys included, with where it stands."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield f"{path}, a key", str(key)
            yield from _texts(item, f"{path}, {key}")
    elif isinstance(value, (list, tuple)):
        for at, item in enumerate(value):
            yield from _texts(item, f"{path}[{at}]")
    elif isinstance(value, str):
        yield path, value
