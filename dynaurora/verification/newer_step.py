"""The step of compare_rows that `dynaurora failures` asks for: which failures a newer row has overtaken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dynaurora.aurora.newer_rows import find_newer

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.verification.compare_rows import RowComparer


def list_newer(event: dict[str, Any], comparer: RowComparer, aurora: Aurora) -> dict[str, Any]:
    """List which of some keys have a newer row than a version, `[[fields, version], …]`, by their positions."""
    target = comparer.mapping.find_target(event["table"])
    wanted = [(fields, int(version)) for fields, version in event["keys"]]
    return {"newer": sorted(find_newer(aurora, target, wanted)) if target else []}


NEWER_STEP: Final = {"list_newer": list_newer}
