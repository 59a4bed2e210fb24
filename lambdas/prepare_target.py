"""Prepare target: a deployment → the tables and the view of a mapping in Aurora, and the loader."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from dynaurora.aurora.loader import find_endpoint
from dynaurora.aurora.secrets import read_candidates, read_credentials
from dynaurora.aurora.users import name_hosts
from dynaurora.aws.custom_resources import ANSWER_SECONDS, fulfil
from dynaurora.aws.objects import S3Objects
from dynaurora.mappings.registry import Registries
from dynaurora.mappings.replications import KnownReplications
from dynaurora.observability import count, logger, observe_mapping, observed
from dynaurora.settings import PrepareTargetSettings
from dynaurora.target.leave_target import leave_target
from dynaurora.target.prepare_target import prepare_database, prepare_loader
from dynaurora.target.probe import Landing

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = PrepareTargetSettings.from_environment()
others = KnownReplications()


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Prepare a target, or the loader alone, when CloudFormation creates or updates it; leave it when it is deleted."""
    kind, given = event["RequestType"], event["ResourceProperties"]
    name = given.get("Mapping")
    if name is not None:
        observe_mapping(name)
    seconds = context.get_remaining_time_in_millis() / 1000 - ANSWER_SECONDS
    digest, made = given.get("MappingDigest", ""), "loader" if name is None else f"target-of-{name}"
    work = admit if name is None else partial(prepare_of, name, digest)
    done = fulfil(event, made, partial(leave, name, digest) if kind == "Delete" else work, seconds=seconds)
    count("TargetsPrepared" if done else "TargetsFailed", 1)
    return {"request": kind, "done": done}


def admit() -> dict[str, str]:
    """Have the loader there, before there is any target; return what the template may tell of it."""
    administrator = read_credentials(settings.database_admin_secret_arn)
    loader = read_credentials(settings.database_secret_arn)
    candidates, hosts = lambda: read_candidates(settings.database_secret_arn), name_hosts(settings.database_network)
    found = prepare_loader(find_endpoint(settings), administrator, candidates, hosts=hosts)
    logger.info("Loader prepared", extra={"loader": loader.username, "hosts": found})
    return {"Loader": loader.username}


def prepare_of(name: str, digest: str) -> dict[str, str]:
    """Create or complete the target of a registered mapping; return what the template may tell of it."""
    store = S3Objects()
    mapping = Registries(store, settings.landing_bucket).find(name).find(digest)
    others.check_target_free(store, settings.landing_bucket, mapping)
    loader = read_credentials(settings.database_secret_arn)
    applied, staging = prepare_database(
        find_endpoint(settings),
        read_credentials(settings.database_admin_secret_arn),
        lambda: read_candidates(settings.database_secret_arn),
        mapping,
        Landing(store, settings.landing_bucket),
        settings.import_concurrency,
        hosts=name_hosts(settings.database_network),
    )
    view = ", ".join(f"{target.database}.{target.table}" for target in mapping.targets)
    facts = {"view": view, "loader": loader.username, "migrations": applied, "staging": staging and str(staging)}
    logger.info("Target prepared", extra=facts)
    return {"View": view, "Loader": loader.username}


def leave(name: str | None, digest: str) -> dict[str, str]:
    """Leave what was replicated, which outlives the stack, and its documents; another platform may have its tables."""
    if name is not None:
        administrator = partial(read_credentials, settings.database_admin_secret_arn)
        leave_target(S3Objects(), settings.landing_bucket, name, digest, lambda: find_endpoint(settings), administrator)
    return {}
