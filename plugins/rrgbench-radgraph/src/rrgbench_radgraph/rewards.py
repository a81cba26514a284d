"""RadGraph F1 of two annotations: what of the entities and relations of one stands in the other.

An annotation is what the package radgraph gives of a text: ``{"text": "...", "entities": {"1": {"tokens": "effusion",
"label": "Observation::definitely present", "relations": [["located_at", "2"]], ...}, ...}}``.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

Annotation = Mapping[str, Any]
EMPTY: Annotation = {"text": "", "entities": {}}


def rewards(made: Annotation, truth: Annotation) -> dict[str, float]:
    """The scores of a report's annotation against its reference's, each 0 to 1, higher is better.

    ``radgraph_e``, ``radgraph_er`` and ``radgraph_er_bar`` are the rewards "simple", "partial" and "complete" of
    radgraph 0.1.18 (rewards.py; RG_E, RG_ER and RG_bar_ER of Delbrouck et al., EMNLP 2022 Findings).
    ``radgraph_combined`` is the mean of the F1 of entities, which is ``radgraph_e``, and of relations, as RadCliQ takes
    it (radgraph_evaluate_model.py of rajpurkarlab/CXR-Report-Metric). A side with nothing to compare scores 0, so
    identical texts without a relation have a ``radgraph_combined`` of .5.
    """
    of_entities, of_relations = f1(entities(made), entities(truth)), f1(relations(made), relations(truth))
    return {
        "radgraph_e": of_entities,
        "radgraph_er": f1(entities_with_flag(made), entities_with_flag(truth)),
        "radgraph_er_bar": f1(entities_with_targets(made), entities_with_targets(truth)),
        "radgraph_combined": (of_entities + of_relations) / 2,
        "radgraph_relation_f1": of_relations,
    }


def entities(annotation: Annotation) -> set[Hashable]:
    """(tokens, label) of each entity."""
    return {(entity["tokens"], entity["label"]) for entity in annotation["entities"].values()}


def entities_with_flag(annotation: Annotation) -> set[Hashable]:
    """The same, with a third member where the entity begins a relation."""
    return {
        (entity["tokens"], entity["label"], True) if entity["relations"] else (entity["tokens"], entity["label"])
        for entity in annotation["entities"].values()
    }


def entities_with_targets(annotation: Annotation) -> set[Hashable]:
    """(tokens, label, relation, tokens of the target) of each relation; (tokens, label) of an entity without any.

    Tokens are in lower case in relations and as they stand elsewhere: so does the package.
    """
    found: set[Hashable] = set()
    for entity in annotation["entities"].values():
        if not entity["relations"]:
            found.add((entity["tokens"], entity["label"]))
        for relation, target in entity["relations"]:
            aimed = annotation["entities"][target]["tokens"].lower()
            found.add((entity["tokens"].lower(), entity["label"], relation, aimed))
    return found


def relations(annotation: Annotation) -> set[Hashable]:
    """((tokens, label), (tokens, label) of the target, relation) of each relation, case kept."""
    found: set[Hashable] = set()
    for entity in annotation["entities"].values():
        for relation, target in entity["relations"]:
            aimed = annotation["entities"][target]
            found.add(((entity["tokens"], entity["label"]), (aimed["tokens"], aimed["label"]), relation))
    return found


def f1(made: set[Hashable], truth: set[Hashable]) -> float:
    """F1 of two sets; 0 where either is empty."""
    return 2 * len(made & truth) / (len(made) + len(truth)) if made and truth else 0.0
