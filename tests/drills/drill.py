"""A fault drill: what it puts into the table, the faults that it causes, and what has to be so in the end."""

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from click.testing import CliRunner

from backfill.cli import main
from dynaurora import keys
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.batch import Batch, BatchObject
from dynaurora.mappings.mapping import Mapping
from tests.integration.backfill.deployed import MAPPING, Deployed, Document, make_items
from tests.integration.reprocess.reprocesses import Reprocesses
from tests.support.csv_reader import cut_label

T = TypeVar("T")
Size = TypeVar("Size", int, float)
Counted = Callable[[bytes], bool]
"""Whether a line counts."""

PATIENCE_SECONDS = {True: 900.0, False: 60.0}
"""How long anything may take, by whether the drill is long."""
PAUSE_SECONDS = 0.1
DELIVERY_SECONDS = 1
"""For which Firehose collects changes, as the local AWS has it, where they flow for long."""
WAIT_SCALE = 0.05
"""What the local AWS multiplies waits before retries by, outside of `short_waits`."""
IMPORT_RULE = "dynaurora-import-batch"
PROCESSED = keys.processed_prefix(MAPPING)


def is_put(row: bytes) -> bool:
    """Whether a row of a batch is no tombstone."""
    return cut_label(row).startswith(b"0,")


@dataclass
class Drill:
    """One drill on the deployment that all of them share."""

    deployed: Deployed
    deaths: Path
    name: str
    is_long: bool
    facts: dict[str, str] = field(default_factory=dict)
    """What was drilled, and what came of it, each by what it is about."""
    _counts: dict[tuple[Counted, str, str], int] = field(default_factory=dict)
    """Lines of objects that were counted before: there are many, and they are looked at again and again."""

    @cached_property
    def reprocesses(self) -> Reprocesses:
        return Reprocesses(self.deployed)

    @property
    def patience(self) -> float:
        """How long anything may take, in seconds."""
        return PATIENCE_SECONDS[self.is_long]

    def size(self, short: Size, long: Size) -> Size:
        """Return one of two sizes."""
        return long if self.is_long else short

    def tell(self, fact: str, about: str = "") -> None:
        """Tell what was drilled; of what it is about, the last counts."""
        self.facts.pop(about, None)
        self.facts[about or fact] = fact

    def wait_until(self, check: Callable[[], T]) -> T:
        """Call `check` until it returns something; return that.

        Of the time it takes at most half: what is looked at has the same processors.
        """
        deadline = time.monotonic() + self.patience
        while True:
            started = time.monotonic()
            if found := check():
                return found
            ended = time.monotonic()
            assert ended < deadline, f"not within {self.patience:.0f} s"
            time.sleep(max(PAUSE_SECONDS, ended - started))

    def wait_until_imported(self) -> None:
        """Return once no import is under way."""
        self.reprocesses.wait_until_imported(self.patience)

    # Data

    def make_items(self, short: int, long: int, hits: int = 1) -> list[Document]:
        """Return items of this drill's own."""
        return make_items(self.size(short, long), self.name, hits)

    def list_objects(self, prefix: str) -> dict[str, str]:
        """The objects under a prefix: key → ETag."""
        return {listed.key: listed.etag for listed in S3Objects().list(self.deployed.bucket, prefix)}

    def count_lines(self, objects: dict[str, str], counted: Counted = bool) -> int:
        """How many lines of objects count."""
        for key, etag in objects.items():
            if (counted, key, etag) not in self._counts:
                self._counts[counted, key, etag] = sum(map(counted, self.deployed.read(key).splitlines()))
        return sum(self._counts[counted, key, etag] for key, etag in objects.items())

    # Failures

    def forget_failures(self) -> None:
        """Begin with nothing that is kept as failed, and nobody told of anything."""
        self.reprocesses.forget_failures()
        self.deployed.announcements()

    def count_failed_records(self) -> int:
        """How many records are kept as failed, and not parked."""
        prefix = keys.failed_records_prefix(MAPPING)
        return sum(len(self.reprocesses.read_records(key)) for key in self.list_objects(prefix))

    def count_failed_rows(self) -> int:
        """How many puts are in the streamed batches that are kept as failed."""
        failed, landed = set(self.list_failed_batches()), self.list_objects(PROCESSED)
        return self.count_lines(
            {key: etag for key, etag in landed.items() if self._name_failure(key, etag) in failed}, is_put
        )

    def _name_failure(self, key: str, etag: str) -> str:
        """The key by which a streamed batch would be kept as failed."""
        item = BatchObject(self.deployed.bucket, key, etag, 0)
        return keys.failed_batch(MAPPING, Batch(MAPPING, "stream", None, None, (item,)).id)

    def list_failed_batches(self) -> list[str]:
        """The keys of the batches that are kept as failed."""
        return self.deployed.list_keys(keys.failed_batches_prefix(MAPPING))

    def reprocess(self, **given: Any) -> Document:
        """Take up what failed; return what became of it, counted."""
        execution = self.reprocesses.start(**given)
        self.wait_until(lambda: self.deployed.describe_execution(execution)["status"] != "RUNNING")
        ended = self.reprocesses.wait(execution)
        assert ended.status == "SUCCEEDED", ended
        return ended.totals

    # Faults

    @contextmanager
    def database_down(self) -> Iterator[None]:
        """Take the database away, as a power failure does, and bring it back."""
        self.deployed.stack.server.kill()
        started = time.monotonic()
        try:
            yield
        finally:
            self.deployed.stack.server.start()
        self.tell(f"the database was down for {time.monotonic() - started:.0f} s")

    @contextmanager
    def short_waits(self) -> Iterator[None]:
        """Let retries come soon: a cycle of them that lasts for hours takes seconds.

        Where batches are many they may not come at once: those that wait for a turn would use up all of their retries,
        and the processors.
        """
        self._configure(self.size(0, 0.01))
        try:
            yield
        finally:
            self._configure(WAIT_SCALE)

    @contextmanager
    def delivering_each_second(self) -> Iterator[None]:
        """Have Firehose collect changes for a second, twice, as it does for longer on AWS.

        Without, nearly every request that writes has an object and an import: more than the local AWS can start.
        """
        self._set_buffers(DELIVERY_SECONDS)
        try:
            yield
        finally:
            self._set_buffers(0)

    def _set_buffers(self, seconds: int) -> None:
        firehose, name = self.deployed.client("firehose"), self.deployed.outputs["DeliveryStreamName"]
        described = firehose.describe_delivery_stream(DeliveryStreamName=name)["DeliveryStreamDescription"]
        (destination,) = described["Destinations"]
        settings = destination["ExtendedS3DestinationDescription"]
        for parameter in settings["ProcessingConfiguration"]["Processors"][0]["Parameters"]:
            if parameter["ParameterName"] == "BufferIntervalInSeconds":
                parameter["ParameterValue"] = str(seconds)
        hints = settings["BufferingHints"] | {
            "IntervalInSeconds": seconds,
            "SizeInMBs": int(settings["BufferingHints"]["SizeInMBs"]),
        }
        firehose.update_destination(
            DeliveryStreamName=name,
            CurrentDeliveryStreamVersionId=described["VersionId"],
            DestinationId=destination["DestinationId"],
            ExtendedS3DestinationUpdate={
                "BufferingHints": hints,
                "ProcessingConfiguration": settings["ProcessingConfiguration"],
            },
        )

    def _configure(self, scale: float) -> None:
        settings = json.dumps({"stepfunctions._SFN_WAIT_SCALE": scale}).encode()
        headers = {"Content-Type": "application/json"}
        url = f"{self.deployed.stack.endpoint_url}/_ministack/config"
        urllib.request.urlopen(
            urllib.request.Request(url, settings, headers), timeout=PATIENCE_SECONDS[self.is_long]
        ).close()

    def read_faults(self) -> dict[str, int]:
        """What is left of the faults that were asked for."""
        with urllib.request.urlopen(
            f"{self.deployed.stack.endpoint_url}/_dynaurora/faults", timeout=PATIENCE_SECONDS[self.is_long]
        ) as answer:
            return dict(json.load(answer))

    @contextmanager
    def consumer_off(self) -> Iterator[None]:
        """Let changes wait in the stream: they come in batches that are as large as can be."""
        self.deployed.enable_event_source_mapping(enabled=False)
        try:
            yield
        finally:
            self.deployed.enable_event_source_mapping(enabled=True)

    @contextmanager
    def imports_off(self) -> Iterator[None]:
        """Start no import for what lands."""
        events = self.deployed.client("events")
        events.disable_rule(Name=IMPORT_RULE)
        try:
            yield
        finally:
            events.enable_rule(Name=IMPORT_RULE)

    # Commands

    def run_command(self, *arguments: str) -> Any:
        """Run `dynaurora …` and return the JSON that it printed."""
        answer = CliRunner().invoke(main, arguments)
        assert answer.exit_code == 0, answer.output
        return json.loads(answer.stdout)

    # The end

    def check_equal(self, unmapped: int = 0, mapping: Mapping | None = None) -> None:
        """Return once DynamoDB and Aurora are equal, and nothing is under way.

        `unmapped` items are refused as they are; their rows are older by right.
        """
        self.wait_until(lambda: self.deployed.compare(mapping).agrees)
        self.wait_until_imported()
        comparison = self.deployed.compare(mapping)
        assert comparison.agrees, comparison.examples
        assert comparison.failed == unmapped
        assert comparison.identical == comparison.items - unmapped > 0
        refused = f", {unmapped:,} are refused" if unmapped else ""
        self.tell(f"{comparison.identical:,} items are equal{refused}", about="equality")

    def check_nothing_failed(self) -> None:
        """Assert that nothing is kept as failed, parked or not."""
        assert self.reprocesses.list_failures() == []
        self.tell("nothing is kept as failed", about="failures")
