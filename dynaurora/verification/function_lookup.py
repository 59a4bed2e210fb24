"""The way to the rows from outside the database's network: the function compare_rows, asked step by step."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from dynaurora import errors
from dynaurora.aws import sdk
from dynaurora.errors import FunctionFailedError, RetryableError, ThrottledError
from dynaurora.verification.unseen_rows import Unseen
from dynaurora.verification.verdicts import Found, RowVerdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dynaurora.errors import DynauroraError
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.verification.expectations import Expectation
    from dynaurora.verification.unseen_rows import Key

MOST_BYTES: Final = 1_000_000
"""Of the rows that are sent at a time; an invocation takes 6 MB."""
ATTEMPTS: Final = 6
RETRIED: Final = frozenset(
    name for name, error in vars(errors).items() if isinstance(error, type) and issubclass(error, RetryableError)
)
"""What passes by itself, as the function names it."""


class Functions(Protocol):
    """What asking needs of Lambda; a client of the SDK has it."""

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Any:  # noqa: N803 (the SDK's names)
        """Return what the SDK answers for one call."""
        ...


@dataclass(frozen=True)
class FunctionLookup:
    """The way to the rows, by the function compare_rows."""

    functions: Functions
    name: str
    mapping: Mapping
    run: str
    sleep: Callable[[float], None] = time.sleep

    def compare(self, table: str, expectations: Sequence[Expectation]) -> list[Found]:
        """Return what is found of each key."""
        found: list[Found] = []
        for rows in divide_rows([expectation.encode() for expectation in expectations]):
            answer = self.ask("compare", table=table, rows=rows)
            findings = answer["findings"]
            ages = answer.get("ages") or [None] * len(findings)  # one that was deployed earlier tells none
            for (verdict, *columns), age in zip(findings, ages, strict=True):
                found.append(Found(RowVerdict(verdict), tuple(columns), age))
        return found

    def list_unseen(self, table: str, after: Key | None, below: int | None = None) -> Unseen:
        """Return the rows of the next stretch of which no item was seen; only counted where not below a version."""
        answer = self.ask("list_unseen", table=table, after=after, below=None if below is None else str(below))
        keys, upto = [tuple(key) for key in answer["keys"]], answer["after"]
        return Unseen(answer["rows"], answer["newer"], keys, tuple(upto) if upto else None)

    def forget(self, **result: Any) -> None:
        """Forget which keys were seen, and close the verification with a result; or `discard` it, or leave it open."""
        while not self.ask("end", **result)["done"]:
            pass

    def ask(self, step: str, **more: Any) -> dict[str, Any]:
        """Return what the function answers.

        Raises FunctionFailedError where it fails, and ThrottledError where that, or what AWS says, passes by itself and
        did not so far.
        """
        asked = {"mapping": self.mapping.name, "digest": self.mapping.digest, "run": self.run, "step": step, **more}
        failed: DynauroraError
        for attempt in range(ATTEMPTS):
            try:
                with sdk.translated_errors():
                    answer = self.functions.invoke(FunctionName=self.name, Payload=json.dumps(asked).encode())
                    document = json.loads(answer["Payload"].read())
            except ThrottledError as error:
                failed = error
            else:
                if not answer.get("FunctionError"):
                    return dict(document)
                kind, said = document.get("errorType"), document.get("errorMessage")
                problem = f"The function {self.name} failed: {kind}: {said}"
                if kind not in RETRIED:
                    raise FunctionFailedError(problem)
                failed = ThrottledError(problem)
            self.sleep(2**attempt)
        raise failed


def divide_rows(rows: list[Any]) -> Iterator[list[Any]]:
    """Yield rows as many at a time as an invocation takes."""
    some: list[Any] = []
    size = 0
    for row in rows:
        length = len(json.dumps(row))
        if some and size + length > MOST_BYTES:
            yield some
            some, size = [], 0
        some.append(row)
        size += length
    if some:
        yield some
