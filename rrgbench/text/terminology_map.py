"""The words that ``terminology.unify`` writes, each with what it takes for them. Raise VERSION with any change.

Left out on purpose, because they don't mean the same to every reader: collapse and volume loss (atelectasis?),
infiltrate and density (opacity?), congestion (edema?), enlarged cardiomediastinal silhouette, CHF, line.
"""

from __future__ import annotations

VERSION = "1"

# British to American, and words written apart or with a hyphen.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "edema": ("oedema", "odema"),
    "edematous": ("oedematous",),
    "hemorrhage": ("haemorrhage",),
    "hemorrhages": ("haemorrhages",),
    "hemorrhagic": ("haemorrhagic",),
    "hematoma": ("haematoma",),
    "hemothorax": ("haemothorax",),
    "hemopneumothorax": ("haemopneumothorax",),
    "hemodialysis": ("haemodialysis",),
    "hemidiaphragm": ("hemi-diaphragm",),
    "hemidiaphragms": ("hemi-diaphragms",),
    "hemithorax": ("hemi-thorax",),
    "esophagus": ("oesophagus",),
    "esophageal": ("oesophageal",),
    "tumor": ("tumour",),
    "tumors": ("tumours",),
    "ischemia": ("ischaemia",),
    "ischemic": ("ischaemic",),
    "aneurysm": ("aneurism",),
    "caliber": ("calibre",),
    "center": ("centre",),
    "centered": ("centred",),
    "goiter": ("goitre",),
    "artifact": ("artefact",),
    "artifacts": ("artefacts",),
    "visualized": ("visualised",),
    "localized": ("localised",),
    "generalized": ("generalised",),
    "orthopedic": ("orthopaedic",),
    "pneumothoraces": ("pneumothoraxes",),
    "hydropneumothorax": ("hydro-pneumothorax",),
    "airspace": ("air space", "air-space"),
    "ground-glass": ("ground glass", "groundglass"),
    "pacemaker": ("pace maker", "pace-maker"),
    "cardiomediastinal": ("cardio-mediastinal",),
    "costophrenic": ("costo-phrenic",),
    "bronchovascular": ("broncho-vascular",),
    "perihilar": ("peri-hilar",),
    "retrocardiac": ("retro-cardiac",),
    "bibasilar": ("bi-basilar",),
    "bibasal": ("bi-basal",),
    "endotracheal": ("endo-tracheal",),
    "nasogastric": ("naso-gastric",),
    "hyperinflated": ("hyper-inflated",),
    "hyperinflation": ("hyper-inflation",),
    "hyperexpanded": ("hyper-expanded",),
}

ABBREVIATIONS: dict[str, tuple[str, ...]] = {
    "pneumothorax": ("ptx",),
    "pneumonia": ("pna",),
    "endotracheal tube": ("ett", "et tube"),
    "nasogastric tube": ("ngt", "ng tube"),
    "orogastric tube": ("ogt", "og tube"),
    "central venous catheter": ("cvc",),
    "superior vena cava": ("svc",),
    "right upper lobe": ("rul",),
    "right middle lobe": ("rml",),
    "right lower lobe": ("rll",),
    "left upper lobe": ("lul",),
    "left lower lobe": ("lll",),
    "chest radiograph": ("cxr", "chest x-ray", "chest xray", "chest x ray"),
    "chest radiographs": ("cxrs", "chest x-rays", "chest xrays"),
}

# Noun phrases. They stay beside words that may belong to them ("enlarged heart and mediastinum").
_ENLARGED = tuple(
    f"enlarged {what}"
    for what in (
        "heart",
        "heart size",
        "heart shadow",
        "heart silhouette",
        "cardiac silhouette",
        "cardiac shadow",
        "cardiac size",
        "cardiac contour",
    )
)
PHRASES: dict[str, tuple[str, ...]] = {
    "cardiomegaly": (
        *_ENLARGED,
        "cardiac enlargement",
        "heart enlargement",
        "cardiac silhouette enlargement",
        "enlargement of the heart",
        "enlargement of the cardiac silhouette",
        "enlargement of cardiac silhouette",
    ),
    "mild cardiomegaly": tuple(f"mildly {phrase}" for phrase in _ENLARGED),
    "moderate cardiomegaly": tuple(f"moderately {phrase}" for phrase in _ENLARGED),
    "severe cardiomegaly": tuple(f"severely {phrase}" for phrase in _ENLARGED),
    "pulmonary edema": ("lung edema", "lung oedema", "oedema of the lungs", "edema of the lungs"),
    "pleural effusion": ("pleural fluid", "fluid in the pleural space"),
    "rib fracture": ("broken rib",),
    "rib fractures": ("broken ribs",),
}
