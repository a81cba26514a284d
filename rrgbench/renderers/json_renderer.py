"""``json``: findings as one JSON object."""

from __future__ import annotations

import json

from rrgbench.types import Context, Findings, Status


class JsonRenderer:
    """``{"findings": [{"label", "status", "side", "severity", "probability"}, ...], "not_assessed": [...]}``.

    Labels keep the vocabulary's names and order; what is not known is null; probabilities have three decimals.
    """

    version = "1"

    def render(self, findings: Findings, context: Context) -> str:
        """The object, on one line."""
        said = [finding for finding in findings if finding.status is not Status.NOT_MENTIONED]
        return json.dumps(
            {
                "findings": [
                    {
                        "label": finding.label,
                        "status": finding.status.value,
                        "side": finding.side,
                        "severity": finding.severity,
                        "probability": None if finding.probability is None else round(finding.probability, 3),
                    }
                    for finding in said
                ],
                "not_assessed": findings.not_assessed(),
            },
            ensure_ascii=False,
        )
