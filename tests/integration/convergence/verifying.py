"""How histories end: verified by production code, by an export and by a scan; then with rows that were changed by hand.

An export's items are imported as a batch of a verification, which compares them; a scan's are looked up. Both have to
say that all is equal, and of rows that were changed behind their back exactly which those are. Then these are repaired:
some of them, which leaves the others as they are, and all.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from backfill.repairing import Candidate
from backfill.verifying import Verification
from dynaurora.aurora import sql
from dynaurora.aurora.connection import Aurora
from dynaurora.aws.objects import S3Objects
from dynaurora.batches import import_batch
from dynaurora.batches.batch import VERIFY, Batch, BatchObject
from dynaurora.dynamodb.changes import Change
from dynaurora.dynamodb.versions import snapshot_version
from dynaurora.failures.refused_rows import RefusedRows
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.mapping import Mapping
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.verification.compare_items import compare_items, divide
from dynaurora.verification.compare_rows import RowComparer
from dynaurora.verification.compared_exports import ComparedExport
from dynaurora.verification.expectations import Expecter
from tests.integration.convergence.repairing import RECENT, REFUSED, Repairer
from tests.integration.convergence.things import Key, Thing, typed_key

EXPORTED: Final = 1_700_100_000
"""Unix time of the export, long after all that histories write."""
SEQUENCE_RANGE: Final = 10**40
NEWER: Final = EXPORTED * SEQUENCE_RANGE
FUTURE: Final = 2**33 * SEQUENCE_RANGE
KEY_TYPES: Final = {"pk": "S", "sk": "S"}
BY_HAND: Final = (
    ("DELETE FROM {rows}", "missing", "missing"),
    ("UPDATE {rows} SET _deleted = TRUE", "missing", "missing"),
    ("UPDATE {rows} SET n = n + 1", "differing", "differing"),
    ("UPDATE {rows} SET words = CONCAT(COALESCE(words, ''), ' ')", "differing", "differing"),
    ("UPDATE {rows} SET words = CONCAT(COALESCE(words, ''), CHAR(1 USING utf8mb4))", "differing", "differing"),
    (f"UPDATE {{rows}} SET n = -1, _version = {NEWER}", "newer", "differing"),
    (f"UPDATE {{rows}} SET n = -2, _version = {RECENT}", "newer", "differing"),
    (f"UPDATE {{rows}} SET _deleted = TRUE, _version = {NEWER}", "newer", "missing"),
    (f"UPDATE {{rows}} SET _version = {FUTURE}", "impossible", "impossible"),
)
"""What is done to a row of an item, and what an export and a scan say of it then. Of a space at the end one server's
collations take no notice, and another's of a control character."""
WITHOUT_ITEM: Final = (
    ("INSERT INTO {rows} (pk, sk, _deleted, _version) VALUES (%s, %s, FALSE, 1)", "extra", "extra"),
    (f"INSERT INTO {{rows}} (pk, sk, _deleted, _version) VALUES (%s, %s, FALSE, {NEWER})", "newer", "extra"),
)
REVIVED: Final = ("UPDATE {rows} SET _deleted = FALSE", "extra", "extra")
"""The same of a tombstone's."""

Said = dict[Key, str]
"""What is said of keys that are not equal."""


@dataclass
class Verifier:
    """Verifies a table that has come to rest."""

    mapping: Mapping
    bucket: str
    name: str
    loader: Callable[[], AbstractContextManager[Aurora]]
    items: dict[Key, Thing]

    def find_problems(self, administrator: Aurora) -> Iterator[tuple[Key | None, str]]:
        """Yield what a verification says wrongly, with the key that it says it of, if it is of one."""
        yield from self._hold(administrator, "at rest", {}, {})
        by_export, by_scan = self._change(administrator)
        yield from self._hold(administrator, "changed by hand", by_export, by_scan)
        yield from self._repair(administrator, by_scan)

    def _repair(self, administrator: Aurora, by_scan: Said) -> Iterator[tuple[Key | None, str]]:
        """Repair every second key, then all; what no change beats stays, and is said."""
        names = sorted(by_scan)
        left = {key: said for key, said in by_scan.items() if key in names[1::2] or said == "impossible"}
        candidates = [Candidate(typed_key(key), self.mapping.table) for key in names]
        failed_key, version = REFUSED
        refused = Candidate(typed_key(failed_key), self.mapping.target_name, version)
        with self.loader() as aurora:
            repairer = Repairer(self.mapping, self.bucket, f"repair-{self.name}", aurora, self.items)
            repairer.repair(candidates[::2])
        yield from self._hold(administrator, "repaired in part", None, left)
        with self.loader() as aurora:
            repairer.aurora = aurora
            repairer.repair([*candidates, refused])
            if self.items:
                repairer.take_up_failure()
        impossible = {key: said for key, said in by_scan.items() if said == "impossible"}
        yield from self._hold(administrator, "repaired", None, impossible)

    def _hold(
        self, administrator: Aurora, when: str, by_export: Said | None, by_scan: Said
    ) -> Iterator[tuple[Key | None, str]]:
        """Yield what is said wrongly; an export is not looked at where all that is expected of it is None."""
        view = f"{sql.quote(self.mapping.database)}.{sql.quote(self.mapping.table)}"
        ((rows,),) = administrator.query(f"SELECT COUNT(*) FROM {view}")
        for way, verify, expected in (("export", self._export, by_export), ("scan", self._scan, by_scan)):
            if expected is None:
                continue
            with self.loader() as aurora:
                verification = verify(aurora, f"{self.name}-{way}-{len(expected)}")
            said = {
                (each.key["pk"]["S"], each.key["sk"]["S"]): each.finding.verdict.value for each in verification.suspects
            }
            told = {key: verdict for key, verdict in expected.items() if verdict != "newer"}
            for key in said.keys() | told.keys():
                if said.get(key) != told.get(key):
                    yield key, f"{when}, {way}: said to be {said.get(key)}, and is {told.get(key)}"
            counts = Counter(expected.values())
            own = [key for key in expected if key in self.items]
            wanted = {"items": len(self.items), "identical": len(self.items) - len(own), "newer": counts["newer"]}
            wanted["rows"] = rows
            found = {name: getattr(verification.tally, name) for name in wanted}
            if found != wanted:
                yield None, f"{when}, {way}: {found}, and there are {wanted}"

    def _export(self, aurora: Aurora, run: str) -> Verification:
        """Have items of an export compared as a run does it."""
        mapper, version, store = RowMapper(self.mapping), snapshot_version(EXPORTED), S3Objects()
        changes = (Change(version, 0, typed_key(key), thing.typed(key)) for key, thing in self.items.items())
        lines = [encode_row(mapper.row(change)) for change in changes]
        body, key = b"".join(lines), f"batches/{self.name}/{run}"
        objects = (BatchObject(self.bucket, key, store.write(self.bucket, key, body), len(body)),)
        batch = Batch(self.mapping.name, VERIFY, run, len(lines), objects, digest=self.mapping.digest)
        keep = RefusedRows(store, self.bucket, "arn:import_batch")
        import_batch.import_batch(batch, self.mapping, aurora, store, self.bucket, keep)
        verification = self._verification(aurora, run)
        verification.tally.items = len(self.items)
        for compared in ComparedExport(self.bucket, self.mapping, store, run).read_batches(KEY_TYPES):
            verification.take(compared)
        verification.find_extra_rows(KEY_TYPES, version)
        verification.lookup.forget()
        return verification

    def _scan(self, aurora: Aurora, run: str) -> Verification:
        verification = self._verification(aurora, run)
        for page in divide(thing.typed(key) for key, thing in self.items.items()):
            verification.take(compare_items(verification.expecter, verification.lookup, page))
        verification.find_extra_rows(KEY_TYPES)
        verification.lookup.forget()
        return verification

    def _verification(self, aurora: Aurora, run: str) -> Verification:
        lookup: Any = RowComparer(aurora, self.mapping, f"{self.name}-{run}" if run.startswith("scan") else run)
        return Verification(Expecter(RowMapper(self.mapping)), lookup)

    def _change(self, aurora: Aurora) -> tuple[Said, Said]:
        """Change some rows by hand; return what is to be said of them, by an export and by a scan."""
        draw = random.Random(f"changed by hand {self.name}")
        rows = f"{sql.quote(self.mapping.database)}.{sql.quote(self.mapping.replica)}"
        tombstones = sorted((pk, sk) for pk, sk in aurora.query(f"SELECT pk, sk FROM {rows} WHERE _deleted"))
        some = draw.sample(sorted(self.items), min(len(self.items), 2 * len(BY_HAND)))
        changed = [(key, *BY_HAND[number % len(BY_HAND)], True) for number, key in enumerate(some)]
        changed += [(key, *REVIVED, True) for key in draw.sample(tombstones, min(len(tombstones), 2))]
        changed += [((f"by hand {number}", "é "), *what, False) for number, what in enumerate(WITHOUT_ITEM)]
        for key, statement, *_, is_there in changed:
            where = " WHERE pk = %s AND sk = %s" if is_there else ""
            with aurora.transaction():
                aurora.execute(statement.format(rows=rows) + where, key)
        return {key: said for key, _, said, *_ in changed}, {key: said for key, _, _, said, _ in changed}
