"""Compare rows: what there should be of some keys → what there is, for `dynaurora verify`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dynaurora.aurora.loader import connect_loader
from dynaurora.aurora.verifications import Verifications
from dynaurora.aws.objects import S3Objects
from dynaurora.mappings.registry import Registries
from dynaurora.observability import count, count_of_all, identify, measure, observe_mapping, observed
from dynaurora.settings import CompareRowsSettings
from dynaurora.verification.compare_rows import RowComparer
from dynaurora.verification.expectations import Expectation
from dynaurora.verification.newer_step import NEWER_STEP
from dynaurora.verification.record_differences import Proved, list_differences
from dynaurora.verification.repair_steps import REPAIR_STEPS

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from dynaurora.aurora.connection import Aurora

settings = CompareRowsSettings.from_environment()
registries = Registries(S3Objects(), settings.landing_bucket)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Take one step, `{"mapping", "run", "digest", "step": "compare", …}`, within a minute; return what it found."""
    observe_mapping(event["mapping"])
    identify(run=event["run"])
    mapping = registries.find(event["mapping"]).find_recorded(event.get("digest"))
    with connect_loader(settings) as aurora:
        return STEPS[event["step"]](event, RowComparer(aurora, mapping, event["run"]), aurora)


def begin(event: dict[str, Any], comparer: RowComparer, aurora: Aurora) -> dict[str, Any]:
    """Open the verification."""
    Verifications(aurora, comparer.mapping).open(event["run"], event["via"])
    count("VerificationsBegun", 1)
    return {}


def compare(event: dict[str, Any], comparer: RowComparer, _aurora: Aurora) -> dict[str, Any]:
    """Compare the rows of some keys."""
    found = comparer.compare(event["table"], [Expectation.decode(row) for row in event["rows"]])
    count("RowsCompared", len(found))
    return {"findings": [[one.verdict.value, *one.columns] for one in found], "ages": [one.age for one in found]}


def list_unseen(event: dict[str, Any], comparer: RowComparer, _aurora: Aurora) -> dict[str, Any]:
    """List rows of which no item was seen."""
    after, below = event.get("after"), event.get("below")
    return asdict(comparer.list_unseen(event["table"], tuple(after) if after else None, int(below) if below else None))


def record(event: dict[str, Any], comparer: RowComparer, aurora: Aurora) -> dict[str, Any]:
    """Record what was proved different; return how many rows that are."""
    proved = [*map(Proved.decode, event["differences"])]
    differences = [*list_differences(comparer, proved, reveal=bool(event.get("reveal")))]
    Verifications(aurora, comparer.mapping).record(event["run"], event["first"], differences)
    return {"rows": len(differences)}


def end(event: dict[str, Any], comparer: RowComparer, aurora: Aurora) -> dict[str, Any]:
    """Forget some of what was seen; once nothing is left, close the verification, or forget it too."""
    if not comparer.forget_some():
        return {"done": False}
    verifications = Verifications(aurora, comparer.mapping)
    if "counts" in event:
        whole, unexplained, mends = bool(event["whole"]), int(event["unexplained"]), event.get("mends")
        verifications.close(event["run"], event["counts"], unexplained, whole=whole, mends=mends)
        measure("Differences", unexplained)
        count_of_all("Differences", unexplained, settings.landing_bucket)
    return {"done": verifications.discard(event["run"]) if event.get("discard") else True}


STEPS = {each.__name__: each for each in (begin, compare, list_unseen, record, end)} | NEWER_STEP | REPAIR_STEPS
