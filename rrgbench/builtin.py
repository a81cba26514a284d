"""The parts of rrgbench itself, registered through the same hooks as anyone's."""

from __future__ import annotations

from rrgbench.hookspecs import Register, hookimpl


@hookimpl
def rrgbench_register_datasets(register: Register) -> None:
    """Datasets."""
    register(
        "phantom",
        "rrgbench.datasets.phantom:Phantom",
        summary="chest radiographs and reports drawn and written by code, with known truth (synthetic)",
    )
    register("table", "rrgbench.datasets.table:Table", summary="studies from your own CSV, JSONL or JSON file")
    official = (
        ("mimic-cxr", "mimic_cxr:MimicCXR", "MIMIC-CXR and MIMIC-CXR-JPG: images, reports, labels (credentialed)"),
        ("chexpert", "chexpert:CheXpert", "CheXpert: images and labels, no reports (credentialed)"),
        ("chexpert-plus", "chexpert_plus:CheXpertPlus", "CheXpert Plus: reports, demographics, labels (credentialed)"),
        ("iu-xray", "iu_xray:IUXray", "Indiana University chest X-rays (Open-i): reports, MeSH labels (open)"),
        ("nih-cxr14", "nih_cxr14:NIHCXR14", "NIH ChestX-ray14: images and labels, no reports (open)"),
        ("r2gen", "r2gen:R2Gen", "R2Gen's annotation.json of MIMIC-CXR or IU X-Ray"),
        ("drr-rate", "drr_rate:DRRRate", "DRR-RATE: radiographs reconstructed from CT, 18 labels (private)"),
    )
    for name, target, summary in official:
        register(name, f"rrgbench.datasets.{target}", summary=summary)


@hookimpl
def rrgbench_register_encoders(register: Register) -> None:
    """Encoders."""
    register("oracle", "rrgbench.encoders.oracle:Oracle", summary="the dataset's own labels: the upper bound")
    register(
        "findings",
        "rrgbench.encoders.findings_file:FindingsFile",
        summary="probabilities from a file, made by any classifier",
    )
    register(
        "ensemble",
        "rrgbench.encoders.ensemble:Ensemble",
        summary="the mean of several encoders: of their probabilities, logits or weights",
    )


@hookimpl
def rrgbench_register_renderers(register: Register) -> None:
    """Renderers."""
    register("sentences", "rrgbench.renderers.sentences:Sentences", summary="findings as plain sentences")
    register("json", "rrgbench.renderers.json_renderer:JsonRenderer", summary="findings as one JSON object")
    register("srr", "rrgbench.renderers.srr:StructuredReport", summary="findings under structured reporting's headers")


@hookimpl
def rrgbench_register_prompts(register: Register) -> None:
    """Prompts."""
    register("zero-shot", "rrgbench.prompts.zero_shot:ZeroShot", summary="the findings and an instruction")
    register(
        "icil",
        "rrgbench.prompts.icil:ICIL",
        summary="the same after demonstrations: of the training split, or (cross_task) of other tasks",
    )
    register(
        "retrieval",
        "rrgbench.prompts.retrieval:Retrieval",
        summary="the same after the training studies that are most alike",
    )
    register("cot", "rrgbench.prompts.cot:ChainOfThought", summary="reasoning first, then a delimited report")
    register("stepwise", "rrgbench.prompts.stepwise:Stepwise", summary="one call a finding, for small models")
    register(
        "structured",
        "rrgbench.prompts.structured:Structured",
        summary="a JSON object with a sentence a finding, by a schema",
    )
    register(
        "self-consistency",
        "rrgbench.prompts.self_consistency:SelfConsistency",
        summary="several samples of a prompt, of which the one that most agree with is taken",
        prompt="cot",
        labeler="rulelabel",
    )
    register(
        "repair",
        "rrgbench.prompts.repair:Repair",
        summary="a prompt's report, written again where it contradicts the findings",
        prompt="zero-shot",
        labeler="rulelabel",
    )


@hookimpl
def rrgbench_register_llms(register: Register) -> None:
    """What stands in for an LLM."""
    register("template", "rrgbench.llms.template:Template", summary="no model: sentences from the findings, the floor")


@hookimpl
def rrgbench_register_systems(register: Register) -> None:
    """Systems."""
    register(
        "classify-then-generate",
        "rrgbench.systems.composed:ClassifyThenGenerate",
        summary="encoder, renderer, prompt and LLM",
    )
    register("constant", "rrgbench.systems.constant:Constant", summary="one report for every study: a baseline")
    register("reports", "rrgbench.systems.reports_file:ReportsFile", summary="reports made elsewhere, from a file")


@hookimpl
def rrgbench_register_labelers(register: Register) -> None:
    """Labelers."""
    register("rulelabel", "rrgbench.labelers.rules:RuleLabeler", summary="CheXpert's 14 labels from text, by rules")


@hookimpl
def rrgbench_register_metrics(register: Register) -> None:
    """Metrics."""
    register(
        "classification",
        "rrgbench.metrics.classification:Classification",
        summary="AUROC, AP, precision, recall, F1 of the encoder's findings",
    )
    register(
        "calibration",
        "rrgbench.metrics.calibration:Calibration",
        summary="expected calibration error of the encoder's probabilities, lower is better",
    )
    register(
        "brier",
        "rrgbench.metrics.calibration:Brier",
        summary="Brier score of the encoder's probabilities, lower is better",
    )
    register(
        "rulelabel",
        "rrgbench.metrics.clinical:ClinicalF1",
        summary="clinical precision, recall and F1 of the reports, by the labeler rulelabel",
        labeler="rulelabel",
    )
    register(
        "chexbert",
        "rrgbench.metrics.clinical:ChexbertF1",
        summary="the same by CheXbert, or from files of its labels",
    )
    register(
        "radcliq_v0",
        "rrgbench.metrics.radcliq:RadCliQV0",
        summary="RadCliQ-v0: estimated errors, lower is better; from four features",
    )
    register(
        "radcliq_v1",
        "rrgbench.metrics.radcliq:RadCliQV1",
        summary="RadCliQ-v1, lower is better, and 1 over its mean (radcliq_v1_inverse)",
    )
    register(
        "fidelity",
        "rrgbench.metrics.fidelity:Fidelity",
        summary="whether the report says what its findings say: contradictions, omissions, inventions",
        labeler="rulelabel",
    )
    register("temporal_f1", "rrgbench.metrics.temporal:TemporalF1", summary="words of change, as Libra scores them")
    register(
        "temporal_f1_radeval",
        "rrgbench.metrics.temporal:TemporalF1RadEval",
        summary="the same with stanza's entities from files, as RadEval scores them",
    )
    register("wording", "rrgbench.metrics.wording:Wording", summary="exact matches, length, variety of reports")
    register(
        "icon",
        "rrgbench.metrics.consistency:Consistency",
        summary="ICON's consistency of studies with the same findings (a score of the whole corpus)",
        labeler="chexbert",
    )
