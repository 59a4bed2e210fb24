"""`dynaurora mapping infer`: a mapping made of the items that it is for, with what was seen of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from backfill.commands.options import json_option
from backfill.commands.sample_options import export_option, items_option, rate_option, sample_option
from backfill.deployment.aws_errors import explained_errors
from backfill.samples import (
    FILE_SAMPLE,
    TABLE_SAMPLE,
    Sample,
    describe_table,
    open_export,
    sample_export,
    sample_file,
    sample_table,
    say_cost,
)
from backfill.terminal.console import (
    WrongUseError,
    name_command,
    print_json,
    print_line,
    print_pairs,
    print_table,
    say,
)
from backfill.terminal.formatting import format_count
from dynaurora.errors import DynauroraError, InvalidMappingError

if TYPE_CHECKING:
    from dynaurora.inference.proposals import Proposal, ProposedColumn, TableSource
    from dynaurora.inference.table_profiles import TableProfile
    from dynaurora.mappings.mapping import Mapping

HEADER: Final = ("attribute", "items", "seen", "column", "type")
DEFAULT_DATABASE: Final = "replicas"
SHOWN_KEYS: Final = 2
MOST_SHOWN: Final = 48
"""Characters of a name in the table on the screen; --json and the file have all of it."""
MAPPING_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
TABLE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{3,255}")
DATABASE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True)
class Given:
    """What the command was given."""

    table: str | None
    export: str | None
    items: str | None
    sample: int | None
    rate: float
    partition_key: str | None
    sort_key: str | None

    def open(self) -> tuple[TableSource, Sample]:
        """Return what is known of the table, and the items to look at. Raises WrongUseError."""
        if self.items and self.export:
            raise WrongUseError("Give one of --table, --export and --items.")
        if self.export:
            store, summary = open_export(self.export)
            table = self.table or summary.table_arn.rpartition("/")[2]
            source = self.name_source(table) if self.partition_key else self.describe(table)
            return source, sample_export(store, summary, self.sample or FILE_SAMPLE)
        if self.items:
            if not (self.table and self.partition_key):
                raise WrongUseError("A file does not tell its table and key: give --table and --partition-key too.")
            return self.name_source(self.table), sample_file(self.items, self.sample or FILE_SAMPLE)
        if not self.table:
            raise WrongUseError("Say what to infer a mapping from: --table, --export or --items.")
        if self.partition_key or self.sort_key:
            raise WrongUseError("A table's key is known: --partition-key and --sort-key go with --items or --export.")
        source = self.describe(self.table)
        return source, sample_table(self.table, self.sample or TABLE_SAMPLE, self.rate)

    def name_source(self, table: str) -> TableSource:
        """Return the source with the key that was given."""
        from dynaurora.inference.proposals import TableSource

        return TableSource(table, self.partition_key or "", self.sort_key)

    @staticmethod
    def describe(table: str) -> TableSource:
        """Return the source as DynamoDB describes its table."""
        from dynaurora.inference.proposals import TableSource

        facts = describe_table(table)
        names = list(facts.key_types)
        return TableSource(table, names[0], names[1] if len(names) > 1 else None, facts.ttl_attribute)


@click.command(
    "infer",
    epilog="""\b
Examples:
  dynaurora mapping infer --table orders -o mappings/orders.json
  dynaurora mapping infer --table orders --sample 50000 --rate 25
  dynaurora mapping infer --export ARN -o mappings/orders.json
  dynaurora mapping infer --items orders.jsonl --table orders --partition-key id -o mappings/orders.json
  dynaurora mapping infer --table shop --entity ORDER
  dynaurora mapping infer --table orders --json | jq .document
""",
)
@click.option("--table", metavar="T", help="The table to read, or with --items and --export the name of theirs.")
@export_option
@items_option
@click.option("--partition-key", metavar="NAME", help="With --items or --export: the partition key's attribute.")
@click.option("--sort-key", metavar="NAME", help="With --items or --export: the sort key's attribute, if there is one.")
@sample_option
@rate_option
@click.option(
    "--unpack",
    type=click.IntRange(0, 10),
    default=0,
    show_default=True,
    metavar="LEVELS",
    help="Give the members of maps columns of their own, down to so many levels; else a map is one JSON column.",
)
@click.option(
    "--database", default=DEFAULT_DATABASE, show_default=True, metavar="NAME", help="The database of the view."
)
@click.option("--view", metavar="NAME", help="The view that people query; the table's name unless given.")
@click.option("--entity", metavar="NAME", help="Show the attributes of one entity type only.")
@click.option(
    "--targets/--one-target",
    "several",
    default=None,
    help="Write a target for each entity type and one for the rest, or one for all; the former where there are types.",
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write the mapping here."
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@json_option
def infer(
    unpack: int,
    database: str,
    view: str | None,
    entity: str | None,
    several: bool | None,
    output: Path | None,
    force: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Make a mapping of the items of a table, an export or a file, and show what they are like.

    Every attribute gets a column that takes all of its values that were read, with room for others: numbers stay exact,
    text that always names a time becomes a DATETIME, what is of several types becomes JSON. Attributes that were not
    read, and those without a column, go into one JSON column of the rest. What is doubtful is told, with keys of items.

    A table is read by Scan, eventually consistent, in parts that lie apart; what that costs is told. Nothing is
    written without -o. Of what items hold only keys are printed, and names of entity types.

    Needs dynamodb:DescribeTable, dynamodb:DescribeTimeToLive and dynamodb:Scan of the table, or dynamodb:DescribeExport
    and s3:GetObject of the export.

    Exit status 0 done, 1 it cannot be read or written, 2 for wrong use.
    """
    from dynaurora.inference.proposals import propose
    from dynaurora.inference.table_profiles import OddItemError, profile_items

    name = check_output(output, force=force)
    with explained_errors():
        source, sample = Given(**given).open()
        check_names(source, database)
        try:
            profile = profile_items(noting(sample), source.key_attributes, unpack)
        except OddItemError as error:
            raise click.ClickException(f"{sample.where}: {error}") from error
        except DynauroraError as error:
            raise click.ClickException(str(error)) from error
    check_items(profile, source, sample)
    proposal = propose(profile, source, database, view or source.table)
    if several is None:
        several = bool(proposal.types)
    elif several:
        check_types(proposal)
    document = proposal.document_of_types if several else proposal.document
    mapping = build(name or "inferred", document)
    tried = try_out(mapping, profile)
    shown = proposal.by_type.get(entity or "", proposal.columns)
    if entity and entity not in proposal.by_type:
        raise WrongUseError(f"There is no entity type {entity}; there are: {', '.join(proposal.by_type) or 'none'}.")
    if output:
        write(output, document)
    if as_json:
        print_json(as_document(proposal, profile, sample, tried, output) | {"document": document})
    else:
        print_proposal(proposal, shown, profile, sample, tried, several=several)
        print_next(output)


def noting(sample: Sample) -> Any:
    """Yield a sample's batches, and tell now and then how far it is."""
    read, told = 0, 0
    for items, size in sample.batches:
        read += len(items)
        if read - told >= 100_000:
            told = read
            say(f"{read:,} items read")
        yield items, size


def check_output(output: Path | None, *, force: bool) -> str | None:
    """Return the name of the mapping that is written. Raises WrongUseError before anything is read."""
    if output is None:
        return None
    if output.suffix != ".json" or not MAPPING_NAME.fullmatch(output.stem):
        raise WrongUseError(
            f"{output.name} cannot be a mapping's file: it is named by lower case, digits and underscores, and .json."
        )
    if output.exists() and not force:
        raise WrongUseError(f"{output} is there already; --force writes over it.")
    return output.stem


def check_names(source: TableSource, database: str) -> None:
    """Raise WrongUseError for names that no mapping can have, before anything is read."""
    if not TABLE_NAME.fullmatch(source.table):
        raise WrongUseError(f"{source.table!r} is no table's name: DynamoDB has 3 to 255 letters, digits, _, . and -.")
    if not DATABASE_NAME.fullmatch(database):
        raise WrongUseError(f"--database {database!r} is no name here: up to 64 letters, digits and _, no digit first.")


def check_items(profile: TableProfile, source: TableSource, sample: Sample) -> None:
    """Raise an error where the items do not do to make a mapping of."""
    if not profile.items:
        raise click.ClickException(f"{sample.where} has no items to infer a mapping from.")
    from dynaurora.inference.column_choices import WORDS

    total = profile.total()
    for name in source.key_attributes:
        items = total[name].items if name in total else 0
        if items < profile.items:
            raise click.ClickException(
                f"{name} is no key of these items: {profile.items - items:,} of {profile.items:,} do not have it."
            )
        kinds = total[name].kinds
        if len(kinds) > 1 or not kinds.keys() <= set("SNB"):
            counts = ", ".join(f"{WORDS[kind]} in {count:,}" for kind, count in kinds.most_common())
            raise click.ClickException(
                f"{name} is no key of these items: it is {counts}. A key is of one type, S, N or B."
            )


def check_types(proposal: Proposal) -> None:
    """Raise WrongUseError where there are no types to make targets of."""
    if not proposal.types:
        raise WrongUseError("--targets makes a target of each entity type, and these items are of one type.")


def build(name: str, document: dict[str, Any]) -> Mapping:
    """Return the mapping. Raises ClickException where it does not hold, as by a name that was given."""
    from dynaurora.mappings.mapping import build_mapping
    from dynaurora.mappings.page_sizes import check_page

    try:
        mapping = build_mapping(name, document, f"{name}.json")
        for target in mapping.targets:
            check_page(target)
    except InvalidMappingError as error:
        raise click.ClickException(str(error)) from error
    return mapping


def try_out(mapping: Mapping, profile: TableProfile) -> dict[str, Any]:
    """Return what becomes of the items that were kept."""
    from backfill.trials import Trial

    trial = Trial(mapping)
    for item in profile.kept:
        trial.add(item)
    return trial.as_dict()


def write(output: Path, document: dict[str, Any]) -> None:
    """Write the mapping's file, and the schema that it names. Raises ClickException where they cannot be."""
    from dynaurora.inference.proposals import SCHEMA_COPY
    from dynaurora.mappings.files import SCHEMA_FILE

    schema = output.parent / SCHEMA_COPY
    try:
        schema.parent.mkdir(parents=True, exist_ok=True)
        schema.write_bytes(SCHEMA_FILE.read_bytes())
        output.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}.") from error


# What is shown


def as_document(
    proposal: Proposal, profile: TableProfile, sample: Sample, tried: dict[str, Any], output: Path | None
) -> dict[str, Any]:
    """Return the result for machines."""
    return {
        "source": sample.where,
        "items": profile.items,
        "of": sample.of,
        "cost": sample.cost,
        "attributes": [describe_column(each, profile.items) for each in proposal.columns],
        "entities": [
            {
                "name": entity.name,
                "items": entity.items,
                "target": target,
                "attributes": [describe_column(each, entity.items) for each in proposal.by_type[entity.name]],
            }
            for entity, target in zip(proposal.types, proposal.targets, strict=True)
        ],
        "tried": tried,
        "file": str(output) if output else None,
        "document": proposal.document,
    }


def describe_column(each: ProposedColumn, items: int) -> dict[str, Any]:
    """Return what was seen of an attribute, for machines."""
    numbers, texts = each.profile.numbers, each.profile.texts
    return {
        "from": each.source,
        "column": each.column or None,
        "type": each.choice.type,
        "options": each.choice.options,
        "items": each.profile.items,
        "absent": items - each.profile.items,
        "nulls": each.profile.nulls,
        "kinds": dict(each.profile.kinds),
        "longest": texts.longest,
        "digits": numbers.digits,
        "scale": numbers.scale,
        "times": texts.times,
        "json": texts.documents,
        "seen": each.choice.seen,
        "doubt": each.choice.doubt or None,
        "keys": each.profile.keys.get(each.choice.doubt_keys, []),
    }


def print_proposal(
    proposal: Proposal,
    shown: list[ProposedColumn],
    profile: TableProfile,
    sample: Sample,
    tried: dict[str, Any],
    *,
    several: bool,
) -> None:
    """Print the result for people."""
    of = f" of {format_count(sample.of)}" if sample.of is not None else ""
    print_pairs([("read", f"{format_count(profile.items, 'item')}{of}, {sample.where}"), ("cost", say_cost(sample))])
    items = max(each.profile.items for each in shown)
    print_line()
    rows = [
        (
            shorten(each.source),
            say_share(each, items),
            each.choice.seen,
            shorten(each.column) or "(rest)",
            " ".join([each.choice.type, *(f"{name} {value}" for name, value in each.choice.options.items())]),
        )
        for each in shown
    ]
    print_table([HEADER, *rows], frozenset({1}))
    print_doubts(shown)
    if proposal.types:
        print_types(proposal, several=several)
    print_line()
    skipped = f", {tried['skipped']:,} of no type skipped" if tried["skipped"] else ""
    print_line(f"Tried on {format_count(tried['items'], 'item')} of them: {tried['taken']:,} taken{skipped}.")
    for each in tried["reasons"]:
        print_line(f"  {each['items']:,} refused: {each['reason']} {each['message']}")


def shorten(name: str) -> str:
    """Return a name so that a table of names stays readable: its beginning, where it is long."""
    return name if len(name) <= MOST_SHOWN else f"{name[: MOST_SHOWN - 1]}…"


def say_share(each: ProposedColumn, items: int) -> str:
    """Say how many items have an attribute, and in how many it is null."""
    share = 100 * each.profile.items / items
    text = "all" if each.profile.items == items else f"{share:.1f} %" if share >= 0.1 else f"{each.profile.items:,}"
    return f"{text}, {each.profile.nulls:,} null" if each.profile.nulls else text


def print_doubts(shown: list[ProposedColumn]) -> None:
    """Print what contradicts itself, with keys of items that show it."""
    doubtful = [each for each in shown if each.choice.doubt]
    if not doubtful:
        return
    print_line()
    print_line("Doubtful, so look at it:")
    for each in doubtful:
        print_line(f"  {each.source}: {each.choice.doubt}.")
        for key in each.profile.keys.get(each.choice.doubt_keys, [])[:SHOWN_KEYS]:
            print_line(f"    as in {json.dumps(key)}")


def print_types(proposal: Proposal, *, several: bool) -> None:
    """Print the entity types of a single-table design."""
    print_line()
    how = "a target for each, and one for the rest" if several else "all of them in one target"
    print_line(f"Entity types; the mapping has {how}:")
    rows = [("name", "items", "attributes", "when")]
    rows += [
        (each.name, f"{each.items:,}", str(len(proposal.by_type[each.name])), each.when) for each in proposal.types
    ]
    print_table(rows, frozenset({1, 2}), indent=2)
    others = max(each.profile.items for each in proposal.columns) - sum(each.items for each in proposal.types)
    if several:
        print_line(f"{format_count(others, 'item')} of no type; such items go into {proposal.rest['table']}.")


def print_next(output: Path | None) -> None:
    """Say what to do next."""
    if output is None:
        print_line("Nothing was written: -o FILE writes the mapping.")
        return
    print_line(f"Written: {output}. Look at it, then: {name_command('mapping', 'check', str(output))}")
