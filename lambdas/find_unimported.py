"""Find unimported: what was imported into a database before it was restored → what its ledger lacks of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dynaurora.aurora.generations import Generations
from dynaurora.aurora.loader import connect_loader
from dynaurora.aws.objects import S3Objects
from dynaurora.errors import TargetMismatchError
from dynaurora.failures.find_unimported import Bookmark, UnimportedFinder
from dynaurora.mappings.registry import Registries
from dynaurora.observability import count, observe_mapping, observed
from dynaurora.settings import FindUnimportedSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = FindUnimportedSettings.from_environment()
registries = Registries(S3Objects(), settings.landing_bucket)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Return which mappings the database knows; or, with a `stretch`, which batches of it the ledger lacks."""
    observe_mapping(event["mapping"])
    mapping = registries.renew(event["mapping"]).find_current()
    with connect_loader(settings) as aurora:
        if "stretch" not in event:
            try:
                generations = Generations(aurora, mapping.database, mapping.name)
            except TargetMismatchError:  # of before there was any table
                return {"known": [], "current": None, "retention_days": settings.batch_retention_days}
            current = generations.current
            known = [one.digest for one in generations.all]
            active = current.digest if current else None
            return {"known": known, "current": active, "retention_days": settings.batch_retention_days}
        finder = UnimportedFinder(mapping, aurora, S3Objects(), settings.landing_bucket, event["since"])
        found = finder.find(Bookmark(**event["stretch"]))
    count("BatchesUnimported", len(found.batches))
    return asdict(found)
