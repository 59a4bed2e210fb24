"""Prepare target: a deployment → the tables, the view and the loader of its mapping in Aurora."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from dynaurora.aurora.loader import find_endpoint
from dynaurora.aurora.secrets import read_candidates, read_credentials
from dynaurora.aws.custom_resources import ANSWER_SECONDS, fulfil
from dynaurora.aws.objects import S3Objects
from dynaurora.errors import DynauroraError
from dynaurora.mappings.mapping import load_mapping
from dynaurora.observability import count, logger, observe_mapping, observed
from dynaurora.settings import PrepareTargetSettings
from dynaurora.target.prepare_target import forget_unused, prepare_database
from dynaurora.target.probe import Landing

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = PrepareTargetSettings.from_environment()


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Prepare the target when CloudFormation creates or updates it; when it deletes it, leave what is there."""
    kind, name = event["RequestType"], event["ResourceProperties"]["Mapping"]
    observe_mapping(name)
    seconds = context.get_remaining_time_in_millis() / 1000 - ANSWER_SECONDS
    work = keep if kind == "Delete" else prepare
    done = fulfil(event, f"target-of-{name}", partial(work, name), seconds=seconds)
    count("TargetsPrepared" if done else "TargetsFailed", 1)
    return {"request": kind, "done": done}


def prepare(name: str) -> dict[str, str]:
    """Create or complete a mapping's target; return what the template may tell of it."""
    mapping = load_mapping(name)  # not when the function starts: that there is none is answered, too
    endpoint = find_endpoint(settings)
    administrator = read_credentials(settings.database_admin_secret_arn)
    loader = read_credentials(settings.database_secret_arn)
    applied, staging = prepare_database(
        endpoint,
        administrator,
        lambda: read_candidates(settings.database_secret_arn),
        mapping,
        Landing(S3Objects(), settings.landing_bucket),
        settings.import_concurrency,
    )
    view = ", ".join(f"{target.database}.{target.table}" for target in mapping.targets)
    facts = {"view": view, "loader": loader.username, "migrations": applied, "staging": staging and str(staging)}
    logger.info("Target prepared", extra=facts)
    if staging is None:
        logger.warning("Aurora cannot load from the bucket yet", extra={"bucket": settings.landing_bucket})
    return {"View": view, "Loader": loader.username}


def keep(name: str) -> dict[str, str]:
    """Leave what was replicated, which outlives the stack; erase a registry that nothing was ever replicated by."""
    landing = Landing(S3Objects(), settings.landing_bucket)
    try:
        erased = forget_unused(landing, name)
    except DynauroraError as error:  # a stack can be deleted without it
        logger.warning("Registry kept", extra={"reason": error.problem})
    else:
        logger.info("Target kept", extra={"registry_erased": erased})
    return {}
