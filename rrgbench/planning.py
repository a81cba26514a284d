"""Plan a run: build its parts, read its studies, and refuse whatever can't work before anything is done."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial

from rrgbench import asking, attestation, governance, judging, plugins, scoring
from rrgbench.attestation import Attestation
from rrgbench.cache import digest
from rrgbench.config import RunConfig
from rrgbench.errors import ImageError, UsageError
from rrgbench.parts import Part, build
from rrgbench.protocols import Protocol, protocol
from rrgbench.specs import Spec
from rrgbench.spending import Budget
from rrgbench.types import Context, Image, Study

# What a system may be shown of a report's sections; all others may hold what it is to write.
SHOWN_SECTIONS = ("indication", "history", "technique", "comparison", "examination")


@dataclass(frozen=True)
class Plan:
    """One system on one dataset, with every part built and every study known."""

    config: RunConfig
    parts: Mapping[str, Part]  # by kind; "dataset" and "system" always, the others where the system composes them
    split: str | None
    studies: tuple[Study, ...]
    protocols: tuple[Protocol, ...]
    metrics: tuple[Part, ...]
    unavailable: Mapping[str, str]
    warnings: tuple[str, ...]
    terms: str  # the strictest of all its parts
    attestations: tuple[Attestation, ...]  # by which what is derived from data that is not open goes to a host

    @property
    def hosts(self) -> frozenset[str] | None:
        """The remote hosts that may be sent to; None: any, for open data."""
        return None if self.terms == "open" else frozenset(each.host for each in self.attestations)

    @property
    def makers(self) -> dict[str, Part]:
        """The parts that make the reports."""
        return {kind: part for kind, part in self.parts.items() if kind != "dataset"}

    @cached_property
    def dataset_digest(self) -> str:
        """A digest of all that is known of the evaluated studies, but for the pixels."""
        return digest([[study_digest(s) for s in self.studies], self.parts["dataset"].obj.vocabulary.labels])

    @cached_property
    def run_id(self) -> str:
        """What makes the reports, hashed: the parts' signatures, the studies, and the images if they are looked at."""
        signatures = {kind: part.signature for kind, part in self.makers.items()}
        needs = {need for part in self.makers.values() for need in getattr(part.obj, "needs", ())}
        seen = list(self.studies) if "images" in needs else []
        seen += [study.prior for study in self.studies if study.prior] if "prior" in needs else []
        pixels = [_fingerprint(image) for study in seen for image in study.images]
        return digest(signatures, self.parts["dataset"].signature, self.dataset_digest, pixels)[:12]

    @property
    def label(self) -> str:
        """The system's name on a page: vit+template, constant."""
        if "encoder" not in self.parts:
            return self.parts["system"].name
        names = [self.parts[kind].name for kind in ("encoder", "prompt", "llm") if kind in self.parts]
        return "+".join(names)


def plan(config: RunConfig, catalogue: plugins.Catalogue) -> list[Plan]:
    """Build every part of a configuration once, read the studies, and refuse what can't work."""
    built: dict[tuple[str, ...], Part] = {}

    def part(kind: str, spec: Spec, dataset: Spec, renderer: Spec | None = None) -> Part:
        # An LLM is loaded once; what may learn from a dataset (as rendered) is built once for it.
        key = (kind, str(spec)) if kind == "llm" else (kind, str(spec), str(dataset), str(renderer))
        if key not in built:
            built[key] = build(catalogue, kind, spec)
        return built[key]

    protocols, metrics, unavailable = measures(config, catalogue)
    counted: dict[str, tuple[Protocol, ...]] = {}  # a dataset's training words are counted once for all systems
    plans: dict[str, Plan] = {}
    for specs in config.grid():
        if "llm" in specs and not hasattr(part("llm", specs["llm"], specs["dataset"]).obj, "complete"):
            specs.pop("prompt"), specs.pop("renderer")  # a Writer has no prompt
        parts = {kind: part(kind, spec, specs["dataset"], specs.get("renderer")) for kind, spec in specs.items()}
        dataset = str(specs["dataset"])
        each = planned(config, parts, counted.get(dataset, protocols), metrics, unavailable)
        words = [fitted.vocabulary for fitted in each.protocols]
        counted[dataset] = tuple(replace(p, vocabulary=known) for p, known in zip(protocols, words, strict=True))
        plans.setdefault(each.run_id, each)
    return list(plans.values())


def measures(
    config: RunConfig, catalogue: plugins.Catalogue
) -> tuple[tuple[Protocol, ...], tuple[Part, ...], Mapping[str, str]]:
    """Protocols, metrics, and the metrics that can't be used here with the reason."""
    metrics, unavailable = scoring.choose(catalogue, config.metric)
    return tuple(protocol(name) for name in dict.fromkeys(config.protocol)), tuple(metrics), unavailable


def planned(
    config: RunConfig,
    parts: Mapping[str, Part],
    protocols: tuple[Protocol, ...],
    metrics: tuple[Part, ...],
    unavailable: Mapping[str, str],
    terms: str = "open",
) -> Plan:
    """The plan for parts that are built: check what may leave the machine, read the studies, let parts learn.

    ``terms`` are those of reports that were made before; the parts' may be stricter.
    """
    dataset = parts["dataset"]
    terms = governance.strictest([terms, *(part.terms for part in (*parts.values(), *metrics))])
    attested = attestation.read(config.attestation)
    used: list[Attestation] = []
    for part in parts.values():
        used += governance.check_hosts(dataset.name, terms, part.public, part.hosts, attested)
    kept = []
    for metric in metrics:
        try:
            used += governance.check_hosts(dataset.name, terms, metric.public, metric.hosts, attested)
            kept.append(metric)
        except UsageError:
            if config.metric is not None:
                raise
            why = f"it sends text to {', '.join(metric.hosts)}, and the data of this run is {terms}"
            unavailable = {**unavailable, metric.name: why}  # nobody asked for it: the others are computed
    by = tuple(dict.fromkeys(used))
    hosts = None if terms == "open" else frozenset(each.host for each in by)
    budget = Budget(config.budget, config.token_budget)
    if "prompt" in parts:
        asking.check(parts["llm"], hosts, budget)
    judges = [warning for metric in kept for warning in judging.check_judge(metric, hosts, budget)]
    split, studies = select(dataset, config.split, config.limit)
    warnings = [*judges, *_seen_before(parts, split), *prepare(parts, studies)]
    train = partial(dataset.obj.load, "train") if "train" in dataset.obj.splits else None
    fitted = []
    for each in protocols:
        ready, notes = each.fitted(studies, train)
        fitted.append(ready)
        warnings += notes
    return Plan(config, parts, split, studies, tuple(fitted), tuple(kept), unavailable, tuple(warnings), terms, by)


def select(dataset: Part, split: str | None, limit: int | None) -> tuple[str | None, tuple[Study, ...]]:
    """The studies to evaluate: of ``test`` where nothing is asked and the dataset has splits."""
    splits = dataset.obj.splits
    if split is None:
        split = "test" if "test" in splits else None
    elif split not in splits:
        there = f"It has: {', '.join(splits)}." if splits else "It has no splits; leave --split out."
        raise UsageError(f"The dataset {dataset.spec} has no split {split!r}. {there}")
    studies = tuple(itertools.islice(dataset.obj.load(split), limit))
    if not studies:
        raise UsageError(f"The dataset {dataset.spec} has no study in split {split!r}.")
    ids = set()
    for study in studies:
        if study.study_id in ids:
            raise UsageError(f"The dataset {dataset.spec} gives the study_id {study.study_id!r} twice.")
        ids.add(study.study_id)
    return split, studies


def _seen_before(parts: Mapping[str, Part], split: str | None) -> list[str]:
    """A warning where an encoder is measured on what it learnt from."""
    trained_on = getattr(parts["encoder"].obj, "trained_on", None) if "encoder" in parts else None
    if parts["dataset"].public not in (trained_on or "").split(" + ") or split == "test":
        return []
    where = f"its split {split}" if split else "all of it"
    return [f"the encoder was trained on {trained_on}: figures on {where} say little about new patients"]


def prepare(parts: Mapping[str, Part], studies: Sequence[Study]) -> list[str]:
    """Let parts learn from the training split, and encoders fit thresholds, never on an evaluated patient."""
    dataset = parts["dataset"].obj
    evaluated = {study.patient_id for study in studies}
    leaks: set[str] = set()

    def others(split: str) -> Iterator[Study]:
        for study in dataset.load(split):
            if study.patient_id in evaluated:
                leaks.add(study.patient_id)
            else:
                yield study

    warnings: list[str] = []
    train = "train" if "train" in dataset.splits else None
    for kind in ("prompt", "system"):
        if kind in parts and hasattr(parts[kind].obj, "prepare"):
            extra = (parts["renderer"].obj,) if kind == "prompt" else ()
            parts[kind].obj.prepare(list(others(train)) if train else [], *extra)
    if "encoder" in parts and hasattr(parts["encoder"].obj, "calibrate"):
        own = "validate" not in dataset.splits
        warnings += parts["encoder"].obj.calibrate(list(studies) if own else list(others("validate"))) or []
    if leaks:
        warnings.append(f"{len(leaks)} evaluated patients stand in another split too; nothing was learnt from theirs")
    if "system" in parts and hasattr(parts["system"].obj, "check"):
        ids = {study.study_id for study in studies} | {image.image_id for study in studies for image in study.images}
        warnings += parts["system"].obj.check(ids)
    return warnings


def context(study: Study, needs: Sequence[str]) -> Context:
    """What a part with these needs may see of a study."""
    known = ("images", "sections", "demographics", "prior", "labels")
    if unknown := [need for need in needs if need not in known]:
        raise UsageError(f"A part can't need {unknown[0]!r} of a study; it may need: {', '.join(known)}.")
    shown = {name: study.sections[name] for name in SHOWN_SECTIONS if name in study.sections and "sections" in needs}
    return Context(
        study_id=study.study_id,
        image_ids=tuple(image.image_id for image in study.images),
        images=study.images if "images" in needs else (),
        sections=shown,
        demographics=study.demographics if "demographics" in needs else {},
        prior=_reported(study.prior) if study.prior and "prior" in needs else None,
        labels=study.labels if "labels" in needs else None,
    )


def _reported(prior: Study) -> Study:
    """A prior study as its report and its images show it."""
    return replace(prior, labels=None, labels_by_source={}, prior=None)


def study_digest(study: Study) -> str:
    """All that the dataset says of a study, its prior included, but for the pixels."""
    labels = [asdict(finding) for finding in study.labels] if study.labels else None
    images = [[image.image_id, image.view] for image in study.images]
    prior = study_digest(study.prior) if study.prior else None
    known = [dict(study.sections), dict(study.demographics), labels, images, prior]
    return digest(study.study_id, study.patient_id, known)


def _fingerprint(image: Image) -> str:
    try:
        return image.fingerprint()
    except ImageError as error:
        return str(error)  # it becomes that study's failure when it is looked at
