"""For plugins: make ``import torchvision``, and so timm and much of transformers, work where its compiled part fails.

torchvision's usual wheel is built against CUDA. Beside a CPU build of torch its ``_C`` library does not load, and
``import torchvision`` stops with "operator torchvision::nms does not exist", because it describes the shapes of two
operators that the library should have declared. Declaring their schemas is enough for the import. The operators
themselves stay unavailable; nothing here uses them.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

_SCHEMAS = {name: f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor" for name in ("nms", "qnms")}
_declared: list[Any] = []  # an operator lives as long as the Library that declared it


def declare_missing() -> None:
    """Declare ``torchvision::nms`` and ``qnms`` if torchvision's library can't. Call before importing timm."""
    from torch import library, ops

    if "torchvision" in sys.modules or _declared:
        return
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return
    for compiled in sorted(Path(spec.origin).parent.glob("_C.*")):
        try:
            ops.load_library(str(compiled))  # type: ignore[no-untyped-call]
        except OSError:
            continue
        return
    missing = [schema for name, schema in _SCHEMAS.items() if not hasattr(ops.torchvision, name)]
    if missing:
        _declared.append(library.Library("torchvision", "FRAGMENT"))  # type: ignore[no-untyped-call]
        for schema in missing:
            _declared[0].define(schema)
