"""The phrases by which a report mentions each of CheXpert's 14 labels, as regular expressions on lower-case text.

What belongs to a label follows the definition that the published labels were made by (Irvin et al., AAAI 2019; the
phrase lists of stanfordmlgroup/chexpert-labeler, MIT): fibrosis is Pleural Other, infection is Pneumonia, scarring is
Lung Opacity, congestion is uncertain Edema, heart failure is Edema and uncertain Cardiomegaly, a calcified nodule is no
Lung Lesion, and sternal wires and clips are no Support Devices. The expressions are our own.

A phrase stands at the beginning of a word and must contain no capturing group. Where two match at one place, the one
written longer wins.
"""

from __future__ import annotations

_CARDIAC = r"(?:cardiac|heart)"
_SILHOUETTE = r"(?:silhouettes?|contours?|shadows?|outlines?|configuration)"
_NODULAR_OPACITY = (
    r"(?:rounded )?(?:nodular|nodule[- ]like|mass[- ]?like|round(?:ed)?)(?: like)? opaci(?:ty|ties|fication\w*)"
)
_PLEUROPARENCHYMAL_SCAR = r"pleur(?:o|al)[- ]?parenchymal scar\w*"
_TIP = r"(?:catheters?|lines?|tubes?|cannulas?|drains?|sheaths?)"

# Present, unless the words around it say otherwise.
SIGNS: dict[str, tuple[str, ...]] = {
    "Enlarged Cardiomediastinum": (
        r"mediastinal (?:widening|enlargement|prominence)",
        r"(?:widening|enlargement|prominence) of the (?:\w+ )?(?:cardio)?mediastin(?:um|al)(?: silhouette| contours?)?",
        r"enlarged cardiomediastinum",
    ),
    "Cardiomegaly": (r"cardiomegaly", rf"{_CARDIAC} enlargement", r"cardiac dilatation"),
    "Lung Opacity": (
        r"opaci(?:ty|ties|fication\w*|fied)",
        _NODULAR_OPACITY,
        r"infiltrat\w*",
        r"air[- ]?space (?:disease|process|densit\w+|changes?)",
        r"(?:increased|patchy|hazy|streaky|confluent|parenchymal|basilar|bibasilar) densit\w+",
        r"decreased translucency",
        r"haziness",
        r"interstitial (?:pattern|(?:lung )?disease|process|change\w*|thickening|prominence|abnormalit\w+|densit\w+)",
        r"interstitial opaci(?:ty|ties)",
        r"reticula(?:r|tion)\w*",
        r"(?:peribronchial|bronchial wall) thickening",
        r"scar(?:s|ring|red)?",
        _PLEUROPARENCHYMAL_SCAR,
        r"(?:pulmonary|parenchymal|pulmonary parenchymal|lung) abnormalit\w+",
    ),
    "Lung Lesion": (
        r"mass(?:es)?",
        r"mass[- ]?like",
        r"nodul(?:e|es|arity)",
        r"(?:nodular|rounded) (?:densit\w+|lesions?)",
        _NODULAR_OPACITY,
        r"lumps?",
        r"(?:lung|pulmonary|parenchymal|cavitary|cavitating|focal|lobe) lesions?",
        r"lesions? (?:in|of|within) the (?:\w+ )?(?:\w+ )?(?:lungs?|lobe)",
        r"(?:pulmonary|lung|lung parenchymal) (?:metasta\w+|malignan\w+|neoplasms?|tumou?rs?|cancers?)",
        r"carcinoma\w*",
        r"neoplas\w+",
        r"tumou?rs?",
    ),
    "Edema": (r"o?edema\w*", r"(?:congestive )?(?:heart|cardiac) failure", r"congestive failure", r"chf"),
    "Consolidation": (r"consolidat\w*",),
    "Pneumonia": (r"\w*pneumonias?", r"infect(?:ion|ions|ious)\b(?: process| etiology| infiltrate)?"),
    "Atelectasis": (r"atelecta\w*", r"(?:lung|lobar|lobe|segmental|pulmonary) collapse", r"collaps(?:e|ed)"),
    "Pneumothorax": (r"pneumothora\w*", r"hydropneumothora\w*"),
    "Pleural Effusion": (
        r"(?:pleural )?effusions?",
        r"pleural fluid",
        r"hydropneumothora\w*",
        r"ha?emothora\w*",
        r"hydrothora\w*",
        r"empyemas?",
    ),
    "Pleural Other": (
        r"pleural (?:thickening|scar\w*|plaques?|calcifi\w+|fibrosis|nodul\w+|mass(?:es)?|lesions?)",
        r"pleural (?:disease|abnormalit\w+|process|change\w*)",
        r"thickening of the (?:\w+ )?pleura",
        _PLEUROPARENCHYMAL_SCAR,
        r"pleur(?:o|al)[- ]?(?:parenchymal|pericardial) thickening",
        r"pleur(?:o|al)[- ]?(?:pericardial|peripheral) scar\w*",
        r"(?:bi)?apical (?:capping|thickening|pleural thickening|pleural scar\w*|pleural cap\w*)",
        r"fibrothorax",
        r"fibrosis",
    ),
    "Fracture": (r"fractur\w*",),
    "Support Devices": (
        r"(?:support|supporting|medical|implanted|implantable|monitoring|assist|cardiac|indwelling) "
        r"(?:\w+ )?(?:devices?|apparatus|equipment|hardware)",
        r"devices?",
        r"tubes?",
        r"catheters?",
        r"lines",
        r"(?:picc|central|venous|arterial|jugular|subclavian|femoral|ij|svc|dialysis|access|port|midline) "
        r"(?:\w+ )?(?:\w+ )?lines?",
        rf"(?:endotracheal|nasogastric|orogastric|enteric|feeding|chest|tracheostomy|pleural|et|ng|og) {_TIP}",
        r"ett",
        r"ngt",
        r"piccs?",
        r"(?:medi)?ports?(?:-?a-?cath\w*| catheters?)?",
        r"swan[- ]?ganz",
        r"pacemakers?",
        r"pacers?",
        r"pacing (?:leads?|wires?|device)",
        r"(?:pacemaker |pacer |icd |defibrillator |ventricular |atrial )?leads?",
        r"a?icds?",
        r"defibrillators?",
        r"(?:prosthetic|artificial|mechanical|bioprosthetic|replaced|replacement) (?:\w+ )?valves?",
        r"prosthetic (?:\w+ ){0,2}(?:shoulders?|hips?|joints?|humer\w+)",
        r"(?:suture |bone )anchors?",
        # What lies in a great vein with its tip is a line, whatever it is called.
        r"tips? (?:\w+ ){0,8}?(?:svc|vena cava|ca(?:vo|val)[- ]?atrial junction)",
        r"tracheostomy (?:tip|device|appliance)",
        r"valv(?:e|ular) (?:replacement|prosthes[ie]s)",
        r"prosthes[ie]s",
        r"arthroplast\w+",
        r"(?:surgical |orthopedic |orthopaedic |spinal |metallic |fixation )?hardware",
        r"(?:fixation|metallic|surgical) (?:plates?|screws?|rods?)",
        r"screws?",
        r"(?:intra-?aortic )?balloon pump",
        r"iabp",
        r"drains?",
        r"cannulas?",
        r"(?:neuro)?stimulators?",
        r"(?:pulse )?generators?",
        r"(?:vp |ventriculoperitoneal )?shunts?",
        r"tubing",
        r"(?:ivc |caval )?filters?",
        r"stents?",
        r"(?:embolization )?coils?",
    ),
}

# At most uncertain.
HINTS: dict[str, tuple[str, ...]] = {
    "Edema": (
        r"(?:pulmonary )?(?:vascular|venous) (?:congestion|engorgement)",
        r"(?:pulmonary |central )?congestion",
        r"(?:pulmonary )?vascular (?:prominence|indistinctness)",
        r"indistinctness",
        r"prominence of the (?:\w+ )?(?:pulmonary )?vascula\w+",
    ),
    "Cardiomegaly": (r"(?:congestive )?(?:heart|cardiac) failure", r"congestive failure", r"chf"),
}

# Anatomy that always is there: what is said of it decides.
_HEART_AND_MEDIASTINUM = (
    rf"{_CARDIAC} and (?:the )?(?:\w+ )?mediastin(?:um|al)(?: {_SILHOUETTE}| size)?",
    rf"{_CARDIAC}, (?:\w+, )?and mediastinal {_SILHOUETTE}",
)
STRUCTURES: dict[str, tuple[str, ...]] = {
    "Enlarged Cardiomediastinum": (
        *_HEART_AND_MEDIASTINUM,
        rf"(?:cardio)?mediastin(?:um|al)(?: and (?:hilar|cardiac))? (?:{_SILHOUETTE}|size|structures?|width)",
        rf"(?:hilar|pericardial) and mediastinal {_SILHOUETTE}",
        r"cardiomediastin(?:um|al)",
        r"mediastinum",
        r"pericardial silhouette",
    ),
    "Cardiomegaly": (
        *_HEART_AND_MEDIASTINUM,
        r"heart(?: size)?",
        rf"{_CARDIAC} (?:{_SILHOUETTE}|size|chambers?)",
        r"size of the heart",
    ),
    "Lung Opacity": (r"(?:pulmonary |bilateral |basilar )?interstitial (?:lung )?markings?",),
}

# Whole statements of normal anatomy, and what they deny.
CLEAR: dict[str, tuple[str, ...]] = {
    r"lungs?(?: fields?| volumes?| bases)?\b[^.;]{0,60}?\bclear\b(?! of| to)": ("Lung Opacity", "Consolidation"),
    r"clear (?:\w+ ){0,3}lungs\b": ("Lung Opacity", "Consolidation"),
    r"pleural spaces?\b[^.;]{0,40}?\b(?:clear|normal|unremarkable)\b(?! of)": ("Pleural Effusion", "Pneumothorax"),
}

# Abnormal, but none of the 14: with one of these the study is not "No Finding" (the labeler's own list, MIMIC-CXR-JPG's
# "hyperinflation suppresses No Finding").
OTHER: tuple[str, ...] = (
    r"(?:bullous |subcutaneous |centrilobular )?emphysema\w*",
    r"blunt\w*",
    r"(?:paratracheal|mediastinal|soft tissue|osseous|bony) opaci(?:ty|ties)",  # not in the lung
    r"(?:calcified |osseous |bony )?densit(?:y|ies)",
    r"elevat(?:ion|ed)",
    r"eventration",
    r"(?:levo|dextro|kypho)?scolio\w+",
    r"kypho\w+",
    r"degenera\w+",
    r"calcifi\w+(?: nodul\w+| lung nodul\w+| pulmonary nodul\w+| mass\w*| granuloma\w*)?",
    r"hyper[- ]?(?:inflat|expan|aerat)\w+",
    r"osteodystrophy",
    r"hypertension",
    r"bronchospasm",
    r"asthma\w*",
    r"(?:hiatal |hiatus |diaphragmatic )?herni\w+",
    r"copd",
    r"(?:chronic )?obstructive (?:pulmonary|lung) disease",
    r"plaques?",
    r"osteophyt\w+",
    r"spondylo\w+",
    r"spurring",
    r"arthr(?:itis|itic|opathy)",
    r"aortic (?:disease|ectasia|aneurysm)",
    r"(?:tortu|ectat)\w+",
    r"bronchio(?:litis|ectasis)",
    r"bronch(?:itis|iectasis)",
    r"(?:small )?airways? (?:disease|thickening)",
    r"thickening",
    r"cephalization",
    r"cuffing",
    r"aspiration",
    r"(?:bulla|bullae|blebs?|pneumatoceles?|cysts?)",
    r"contusion\w*",
    r"athero\w+",
    r"osteopeni\w+",
    r"osteoporo\w+",
    r"demineraliz\w+",
    r"metasta\w+",
    r"granuloma\w*",
    r"sarcoid\w*",
    r"pneumo(?:mediastinum|peritoneum|pericardium)",
    r"free (?:intraperitoneal |subdiaphragmatic )?air",
    r"lucenc(?:y|ies)",
    r"inflammat\w+",
    r"prominen(?:t|ce)",
    r"bullets?",
    r"ha?emorrhag\w+",
    r"ha?ematomas?",
    r"volume loss",
    r"deformit\w+",
    r"(?:lymph)?adenopathy",
    r"(?:mediastinal|hilar|paratracheal) (?:mass(?:es)?|lymph\w*|adenopathy)",
    r"(?:sclerotic|lytic|osseous|bony|bone|blastic|destructive) (?:\w+ )?lesions?",
    r"radiopaque",
    r"foreign (?:body|bodies)",
    r"tracheostomy",
    r"pericardial effusions?",
    r"dislocat\w+",
    r"pneumonitis",
    r"abscess\w*",
    r"cavit(?:y|ies|ary|ation)",
)

# Look like a mention and are none.
NOT_MENTIONS: tuple[str, ...] = (
    r"most prominent",
    r"[ab][- ]lines?",  # Kerley's
    r"(?:in|de)creased in opacity",
    r"(?:joint|knee|middle ear) effusions?",
    r"(?:soft tissue|subcutaneous|peripheral|leg|pedal|limb) o?edema",
    r"mass effect",
    r"body mass",
    r"(?:kerley|septal|fissure|fracture|pleural|skin|suture|staple|mid|axillary|clavicular|spinous|paraspinal|"
    r"paratracheal|reflection|growth|vertical|horizontal|linear|air|fat|junction|lead|base|first)(?: [ab])?[- ]lines?",
    r"(?:vertebral|vertebra|compression) (?:body |bodies )?collapse",
    r"(?:old|prior|previous|remote|granulomatous|healed|chronic)(?: \w+)? infections?",
    r"nipple (?:shadows?|markers?)",
    r"breast (?:implants?|prosthes[ie]s)",
    r"heart (?:borders?|margins?|disease|transplant|rate|block|valves?|attack)",
    r"(?:retro|para|peri|left |right )cardiac",
    r"cardiac (?:apex|monitor\w*|surgery|bypass|arrest|history|region)",
    r"mediastinal (?:clips?|wires?|drains?|tubes?|shift|air|fat|surgery|sternotomy)",
    r"(?:mediastinum|mediastinal structures|heart|cardiac silhouette) (?:is|are|remains?) (?:\w+ )?midline",
    r"(?:catheter|lead|wire|hardware) fractures?",
    r"fractured (?:\w+ )?(?:\w+ )?(?:leads?|wires?|catheters?)",
    # Where a device or a shadow lies (the labeler's own list of places that mention nothing).
    r"(?:over|overly|overlying|overlies|behind|in|within|projecting over) the (?:\w+ )?"
    r"(?:heart|mediastinum|cardiac silhouette|mediastinal silhouette|cardiomediastinal silhouette)",
    r"leads? to",
    r"led to",
    r"lines? of",
    r"tube (?:current|voltage)",
)
