"""Requests: the checked inputs of runs.

A backfill is started with

    {"mapping": "web_analytics", "run": "20261123T081500Z", "export_arn": null, "max_concurrency": 2,
     "tolerated_failure_percentage": 0, "tolerated_rejected_percentage": 10, "sweep": false, "compare": false,
     "judge": false, "export_summary": null, "source_table_arn": null, "window_from": null, "window_to": null}

of which only mapping and run are needed, and of a verification that is judged not even run. A reprocess is started with

    {"mapping": "web_analytics", "run": null, "prefix": null, "include_parked": false, "max_concurrency": null}

of which only mapping is.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from dynaurora.aurora.slots import count_reserved
from dynaurora.batches.batch import BACKFILL, REPROCESS, VERIFY
from dynaurora.errors import InvalidRunError, RunConflictError
from dynaurora.mappings.mapping import NAME

if TYPE_CHECKING:
    from dynaurora.mappings.mapping import Mapping

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What names a run: it is part of keys, and of the names of executions, which have at most 80 characters."""
TOLERATED_REJECTED_PERCENTAGE: Final = 10
"""Of a backfill that says nothing of it: a mapping that refuses more than every tenth item is not the table's."""
TABLE_ARN = re.compile(r"arn:[a-z-]+:dynamodb:[a-z0-9-]+:[0-9]{12}:table/[A-Za-z0-9_.-]+")
EXPORT_SUMMARY = re.compile(
    r"s3://(?P<bucket>[a-z0-9.-]{3,63})/(?P<key>(.*/)?AWSDynamoDB/(.*/)?manifest-summary\.json)"
)
"""Of a given export. The functions may read what is below a folder AWSDynamoDB/, which every export has."""
WINDOW_SECONDS: Final = (15 * 60, 24 * 60 * 60)
"""Of an incremental export, least and most (Amazon DynamoDB Developer Guide, "Requesting a table export")."""
EXPORT_ARN = re.compile(r"arn:[a-z-]+:dynamodb:[a-z0-9-]+:[0-9]{12}:table/[A-Za-z0-9_.-]+/export/[A-Za-z0-9-]+")


def is_mapping_name(value: Any) -> bool:
    """Tell whether a value may name a mapping; an input may have anything."""
    return isinstance(value, str) and bool(NAME.fullmatch(value))


def is_run_id(value: Any) -> bool:
    """Tell whether a value may name a run; one that may not is the name of none."""
    return isinstance(value, str) and bool(RUN_ID.fullmatch(value))


ORIGINS: Final = ("export_arn", "export_summary", "source_table_arn", "window_from", "window_to")
"""Of the options, what a run imports: once that is planned, it stays."""


@dataclass(frozen=True)
class Options:
    """How a run is to be done."""

    export_arn: str | None
    """The export to import, where it is not to make one."""
    max_concurrency: int
    """Most batches that are converted and imported at the same time."""
    tolerated_failure_percentage: float
    """How many of the batches may fail, in percent, before the run does."""
    tolerated_rejected_percentage: float
    """How many of the items may be refused, in percent, before the run fails; of several targets each by itself."""
    sweep: bool
    """Whether rows that the export does not have are deleted in the end."""
    compare: bool = False
    """Whether the export is only compared with the rows: a verification."""
    judge: bool = False
    """Whether what comparing found is judged by the run itself."""
    export_summary: str | None = None
    """Where the summary is of the export to import, as s3://bucket/key, where it is not to make one."""
    source_table_arn: str | None = None
    """The table that this export is of, where it is another than the mapping's."""
    window_from: str | None = None
    window_to: str | None = None
    """The window of the incremental export to make, in ISO 8601, where it is not to make a full one."""


@dataclass(frozen=True)
class Limits:
    """What the deployment allows a run."""

    backfill_concurrency: int
    """The concurrency of a run that asks for none."""
    import_concurrency: int
    """The importer's own, 0 for unbounded; runs stay below it, which leaves what streams are to have."""
    keeps_expired: bool = False
    """Whether Aurora is to keep the rows of items that expired: a sweep would take them for deleted."""
    taken: int = 0
    """Batches that other runs work on at the same time."""

    def beside(self, taken: int) -> Limits:
        """Return what is left where other runs work on so many batches at the same time."""
        return replace(self, taken=taken)

    def bound(self, wanted: int | None) -> int:
        """Return the concurrency of a run that wants so many; never less than one."""
        concurrency = self.backfill_concurrency if wanted is None else wanted
        if not self.import_concurrency:
            return concurrency
        common = self.import_concurrency - count_reserved(self.import_concurrency)
        return min(concurrency, max(1, common - self.taken))


@dataclass(frozen=True)
class RunRequest:
    """The checked input of a run."""

    mapping: str
    run: str
    options: Options

    @property
    def kind(self) -> str:
        """A backfill, or a verification."""
        return VERIFY if self.options.compare else BACKFILL

    @classmethod
    def from_input(cls, document: Any, limits: Limits, started: str | None = None) -> RunRequest:
        """Return what the state machine's input asks for; a judged run without a name is named by when it was started.

        Raises InvalidRunError, naming every field that is missing or wrong.
        """
        if isinstance(document, dict) and document.get("judge") and started is not None:
            document = {**document, "run": name_verification(document, started)}
        given = check_fields(document, FIELDS)
        if given.get("judge") and not given.get("compare"):
            raise InvalidRunError("The input asks for judging, and for no comparison that would be judged.")
        if given.get("sweep") and limits.keeps_expired:
            problem = "this stack keeps the rows of expired items (TtlDeletes=ignore), and a sweep would delete them"
            raise InvalidRunError(f"The input asks for a sweep: {problem}.")
        if given.get("sweep") and given.get("compare"):
            raise InvalidRunError("The input asks for a sweep and for a comparison, which changes nothing.")
        check_origin(given, limits)
        rejected = given.get("tolerated_rejected_percentage")
        options = Options(
            export_arn=given.get("export_arn"),
            max_concurrency=limits.bound(given.get("max_concurrency")),
            tolerated_failure_percentage=given.get("tolerated_failure_percentage") or 0,
            tolerated_rejected_percentage=TOLERATED_REJECTED_PERCENTAGE if rejected is None else rejected,
            sweep=bool(given.get("sweep")),
            compare=bool(given.get("compare")),
            judge=bool(given.get("judge")),
            **{name: given.get(name) for name in ORIGINS[1:]},
        )
        return cls(given["mapping"], given["run"], options)

    def as_dict(self) -> dict[str, Any]:
        """Return the request as the states after "Open run" read it."""
        return asdict(self)

    def check_repeat(self, mapping: Mapping, its_digest: str, its_options: dict[str, Any], *, is_planned: bool) -> None:
        """Raise RunConflictError where what the run has done so far is not what it would do now.

        Until it is planned it may still take another export.
        """
        if its_digest != mapping.digest:
            raise RunConflictError(
                f"Run {self.run} was begun with mapping {mapping.name} as {its_digest[:16]}, and the current one is"
                f" {mapping.digest[:16]}: a run has one mapping, from its export to its report. What it has imported"
                " stays; a run of the current mapping brings its rows up to date."
            )
        mine = {name: getattr(self.options, name) for name in ORIGINS}
        if is_planned and {name: its_options.get(name) for name in ORIGINS} != mine:
            raise RunConflictError(f"Run {self.run} was begun with another export.")


def check_origin(given: dict[str, Any], limits: Limits) -> None:
    """Raise InvalidRunError where what is to be imported is told in two ways, or cannot do what is asked for."""
    window = given.get("window_from"), given.get("window_to")
    if sum(value is not None for value in (given.get("export_arn"), given.get("export_summary"), window[0])) > 1:
        raise InvalidRunError("The input names more than one of an export, its summary and a window to export.")
    if given.get("source_table_arn") and not given.get("export_summary"):
        raise InvalidRunError("The input has a source_table_arn, and no export_summary that it would be of.")
    if (window[0] is None) != (window[1] is None):
        raise InvalidRunError("The input has one end of a window, and lacks the other.")
    if window[0] is None or window[1] is None:
        return
    seconds = (datetime.fromisoformat(window[1]) - datetime.fromisoformat(window[0])).total_seconds()
    if not WINDOW_SECONDS[0] <= seconds <= WINDOW_SECONDS[1]:
        raise InvalidRunError(f"The window is {seconds:g} seconds long, and an incremental export has 900 to 86400.")
    if given.get("sweep") or given.get("compare"):
        raise InvalidRunError(
            "The input asks for the changes of a window, which are no whole table to sweep or compare."
        )
    if limits.keeps_expired:
        problem = "this stack keeps the rows of expired items (TtlDeletes=ignore), and a window has their deletes too"
        raise InvalidRunError(f"The input asks for the changes of a window: {problem}.")


def read_summary_address(address: str) -> tuple[str, str]:
    """Return bucket and key of a given export's summary, s3://bucket/key. Raises ValueError where that is none."""
    found = EXPORT_SUMMARY.fullmatch(address)
    if found is None:
        raise ValueError(f"{address!r} is not s3://BUCKET/…/AWSDynamoDB/…/manifest-summary.json")
    return found["bucket"], found["key"]


@dataclass(frozen=True)
class ReprocessOptions:
    """How a reprocess is to be done."""

    prefix: str | None
    """Only what is under it is taken up; None for everything."""
    include_parked: bool
    """Whether what is parked is taken up too."""
    max_concurrency: int


@dataclass(frozen=True)
class ReprocessRequest:
    """The checked input of a reprocess."""

    mapping: str
    run: str
    options: ReprocessOptions

    kind: ClassVar[str] = REPROCESS

    @classmethod
    def from_input(cls, document: Any, limits: Limits, started: str) -> ReprocessRequest:
        """Return what the state machine's input asks for; a run without a name is named by when it was started.

        Raises InvalidRunError, naming every field that is missing or wrong.
        """
        if isinstance(document, dict):
            document = {**document, "run": name_reprocess(document, started)}
        given = check_fields(document, REPROCESS_FIELDS)
        options = ReprocessOptions(
            prefix=given.get("prefix") or None,
            include_parked=bool(given.get("include_parked")),
            max_concurrency=limits.bound(given.get("max_concurrency")),
        )
        return cls(given["mapping"], given["run"], options)

    def as_dict(self) -> dict[str, Any]:
        """Return the request as the states after "Open run" read it."""
        return asdict(self)

    def check_repeat(self, mapping: Mapping, its_digest: str, its_options: dict[str, Any], *, is_planned: bool) -> None:
        """Raise nothing: a reprocess takes up what there is, and the mapping may have been mended for it."""


def name_reprocess(document: dict[str, Any], started: str) -> Any:
    """Return what an input calls a reprocess; where that is nothing, a name by when its execution was started.

    Executions of the same second have the same name then, and one of them the run.
    """
    return _name_by_start(document, started, REPROCESS)


def name_verification(document: dict[str, Any], started: str) -> Any:
    """Return what an input calls a run; of one that is judged, where that is nothing, a name by its start.

    Raises KeyError where another one has none.
    """
    return _name_by_start(document, started, VERIFY) if document.get("judge") else document["run"]


def _name_by_start(document: dict[str, Any], started: str, kind: str) -> Any:
    given = document.get("run")
    if given is not None:
        return given
    return f"{kind}-{datetime.fromisoformat(started).astimezone(UTC):%Y%m%dT%H%M%SZ}"


def read_request(event: dict[str, Any], limits: Limits) -> RunRequest | ReprocessRequest:
    """Return what an execution was started to do: `{"kind": "reprocess", "input": …, "execution": {"started": …}}`.

    Raises InvalidRunError.
    """
    if event.get("kind") == REPROCESS:
        return ReprocessRequest.from_input(event["input"], limits, event["execution"]["started"])
    return RunRequest.from_input(event["input"], limits, event.get("execution", {}).get("started"))


class Request(Protocol):
    """What the runs need of the input of a run, of whichever kind."""

    @property
    def kind(self) -> str:
        """Of the run, and the source of its batches in the ledger."""
        ...

    @property
    def mapping(self) -> str:
        """The mapping's name."""
        ...

    @property
    def run(self) -> str:
        """The run's id."""
        ...

    @property
    def options(self) -> Any:
        """A dataclass."""
        ...

    def check_repeat(self, mapping: Mapping, its_digest: str, its_options: dict[str, Any], *, is_planned: bool) -> None:
        """Raise RunConflictError where the run cannot go on from what it was begun with."""
        ...


def check_fields(document: Any, fields: dict[str, tuple[Any, str]]) -> dict[str, Any]:
    """Return an input whose fields are all right.

    Raises InvalidRunError, naming every field that is missing or wrong.
    """
    given: dict[str, Any] = document if isinstance(document, dict) else {}
    problems = [
        f"{name} is {json.dumps(given.get(name), default=str)[:80]}, and it takes {wanted}"
        for name, (is_right, wanted) in fields.items()
        if not is_right(given.get(name))
    ]
    if problems:
        raise InvalidRunError(f"The input is not a run's: {'; '.join(problems)}.")
    return given


def _is_text(pattern: re.Pattern[str]) -> Any:
    return lambda value: isinstance(value, str) and bool(pattern.fullmatch(value))


_OF_EVERY_RUN: Final[dict[str, tuple[Any, str]]] = {
    "mapping": (is_mapping_name, "a mapping's name"),
    "run": (is_run_id, "up to 64 letters, digits, underscores and hyphens"),
    "max_concurrency": (
        lambda value: value is None or (type(value) is int and 1 <= value <= 1000),
        "a count from 1 to 1000, or null",
    ),
}
TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


def is_time(value: Any) -> bool:
    """Tell whether a value is a whole second of UTC in ISO 8601."""
    try:
        return _is_text(TIME)(value) and bool(datetime.fromisoformat(value))
    except ValueError:
        return False


_TIME: Final = (lambda value: value is None or is_time(value), "a second of UTC like 2026-11-23T08:15:00Z, or null")
_PERCENTAGE: Final = (
    lambda value: value is None or (type(value) in {int, float} and 0 <= value <= 100),
    "a percentage from 0 to 100",
)
FIELDS: Final[dict[str, tuple[Any, str]]] = {
    **_OF_EVERY_RUN,
    "export_arn": (lambda value: value is None or _is_text(EXPORT_ARN)(value), "the ARN of an export, or null"),
    "tolerated_failure_percentage": _PERCENTAGE,
    "tolerated_rejected_percentage": _PERCENTAGE,
    "sweep": (lambda value: value is None or type(value) is bool, "true or false"),
    "compare": (lambda value: value is None or type(value) is bool, "true or false"),
    "judge": (lambda value: value is None or type(value) is bool, "true or false"),
    "export_summary": (
        lambda value: value is None or _is_text(EXPORT_SUMMARY)(value),
        "s3://BUCKET/…/AWSDynamoDB/…/manifest-summary.json, or null",
    ),
    "source_table_arn": (lambda value: value is None or _is_text(TABLE_ARN)(value), "the ARN of a table, or null"),
    "window_from": _TIME,
    "window_to": _TIME,
}
"""Each field's check, and in words what it takes."""
REPROCESS_FIELDS: Final[dict[str, tuple[Any, str]]] = {
    **_OF_EVERY_RUN,
    "prefix": (lambda value: value is None or isinstance(value, str), "a prefix of the landing bucket's keys, or null"),
    "include_parked": (lambda value: value is None or type(value) is bool, "true or false"),
}
