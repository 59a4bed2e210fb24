"""Judge differences: what comparing an export found → verdicts, in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dynaurora.aws.lambda_functions import LambdaFunctions
from dynaurora.aws.objects import S3Objects
from dynaurora.dynamodb.items import TableItems
from dynaurora.failures.list_failures import Place
from dynaurora.mappings.registry import Registries
from dynaurora.mappings.replications import read_replication
from dynaurora.mappings.row_mappers import SharedRowMappers
from dynaurora.observability import identify, logger, observe_mapping, observed
from dynaurora.settings import JudgeDifferencesSettings
from dynaurora.verification.compared_exports import ComparedExport
from dynaurora.verification.expectations import Expecter
from dynaurora.verification.function_lookup import FunctionLookup
from dynaurora.verification.judge_differences import DifferencesJudge
from dynaurora.verification.verifier import Verifier

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = JudgeDifferencesSettings.from_environment()
mappers = SharedRowMappers(Registries(S3Objects(), settings.landing_bucket))


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take the next step of judging a run; return whether it was the last one, and what the verification found then."""
    state, store, bucket = event["input"], S3Objects(), settings.landing_bucket
    name, run = state["mapping"], state["run"]
    observe_mapping(name)
    identify(run=run)
    mappers.begin(context.get_remaining_time_in_millis() / 1000)
    mapper = mappers.of(name).find_recorded(state["digest"])
    replication = read_replication(store, bucket, name)
    lookup = FunctionLookup(LambdaFunctions(), settings.compare_rows_function, mapper.mapping, run)
    judge = DifferencesJudge(
        verifier=Verifier(Expecter(mapper), lookup),
        export=ComparedExport(bucket, mapper.mapping, store, run),
        items=TableItems(replication.table),
        place=Place(bucket, name, replication.table, replication.event_source_mappings),
        finds_extra=not replication.ignores_expiries,
        settle_seconds=settings.settle_seconds,
    )
    result = judge.take_step(state["totals"])
    logger.info("Differences judged" if result else "A step of judging was taken", extra=result or {})
    return {"done": result is not None, "verification": result}
