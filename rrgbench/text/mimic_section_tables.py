"""MIMIC-CXR's headings and hand-made exceptions, as data.

Source: MIT-LCP/mimic-cxr at 3190146, txt/section_parser.py (``normalize_section_names``, ``custom_mimic_cxr_rules``).
Spellings that stand for themselves are not listed.
"""

from __future__ import annotations

# The spellings of a heading in lower case, by the section they name.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "impression": (
        "conclusion",
        "findings and impression",
        "findings/impression",
        "findings/ impression",
        "ndication",  # so it stands in the source, where "idication" is the indication
        "impresson",
        "imprression",
        "imoression",
        "impressoin",
        "imprssion",
        "impresion",
        "imperssion",
        "mpression",
        "impession",
    ),
    "findings": (
        "chest, two views",
        "finding",
        "findins",
        "findindgs",
        "findgings",
        "findngs",
        "findnings",
        "finidngs",
        "reference findings",
    ),
    "comparison": (
        "comparisons",
        "reference exam",
        "comparison exam",
        "comparison film",
        "comparision",
        "comparsion",
        "comparrison",
        "comparisions",
    ),
    "history": ("clinical history", "clinical information", "patient history", "pfi"),
    "indication": ("reason for examination", "reason for exam", "clinical indication", "idication"),
    "examination": ("exam", "type of examination"),
    "recommendations": ("recommendation(s)", "recommendation"),
}

# A heading that is not listed names the first of these that it contains ...
WITHIN = ("impression", "findings", "history", "comparison", "addendum")

# ... else the findings, if it contains one of these: it describes the whole study ("CHEST, PORTABLE AP").
VIEWS = (
    "chest",
    "portable",
    "pa and lateral",
    "lateral and pa",
    "ap and lateral",
    "lateral and ap",
    "frontal and",
    "two views",
    "frontal view",
    "pa view",
    "ap view",
    "one view",
    "lateral view",
    "bone window",
    "frontal upright",
    "frontal semi-upright",
    "ribs",
    "pa and lat",
)

# 23 studies whose report stands under a heading of another meaning, by that heading.
MISNAMED: dict[str, tuple[str, ...]] = {
    "examination": ("s59363654", "s53356173", "s50743547", "s59215320", "s55157853"),
    "history": ("s51491012",),
    "indication": ("s57936451", "s50058765", "s51966317", "s55124749", "s54365831", "s54654948"),
    "note": ("s56451190",),
    "recommendations": (
        "s50913680",
        "s59768032",
        "s59067458",
        "s59087630",
        "s58157373",
        "s56482935",
        "s58375018",
    ),
    "technique": ("s59279892", "s53202765", "s50808053"),
}

# 31 studies whose report is this range of characters of the file; 8 of them have no report at all.
RANGES: dict[str, tuple[int, int]] = {
    "s50525523": (201, 349),
    "s57564132": (233, 554),
    "s59982525": (313, 717),
    "s53488209": (149, 475),
    "s54875119": (234, 988),
    "s50196495": (59, 399),
    "s56579911": (59, 218),
    "s52648681": (292, 631),
    "s59889364": (172, 453),
    "s53514462": (73, 377),
    "s59505494": (59, 450),
    "s53182247": (59, 412),
    "s51410602": (47, 320),
    "s56412866": (522, 822),
    "s54986978": (59, 306),
    "s59003148": (262, 505),
    "s57150433": (61, 394),
    "s56760320": (219, 457),
    "s59562049": (158, 348),
    "s52674888": (145, 296),
    "s55258338": (192, 568),
    "s59330497": (140, 655),
    "s52119491": (179, 454),
    **dict.fromkeys(
        (
            "s58235663",
            "s50798377",
            "s54168089",
            "s53071062",
            "s56724958",
            "s54231141",
            "s53607029",
            "s52035334",
        ),
        (0, 0),
    ),
}
