"""`dynaurora mapping …`: mappings checked, and what becomes of their records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from backfill.commands.mapping_change import mapping_change_commands
from backfill.commands.mapping_diff import diff
from backfill.commands.mapping_files import bound_patterns, fit_page, load
from backfill.commands.options import json_option
from backfill.terminal.console import print_json, print_line, print_pairs
from backfill.terminal.formatting import format_table

if TYPE_CHECKING:
    from dynaurora.mappings.compiled.describing import Description
    from dynaurora.mappings.mapping import Mapping

NO_NUMBERS: frozenset[int] = frozenset()


@click.group(
    "mapping",
    epilog="""\b
Examples:
  dynaurora mapping check web_analytics
  dynaurora mapping plan web_analytics
  dynaurora mapping apply web_analytics
  dynaurora mapping diff web_analytics
""",
)
def mapping_group() -> None:
    """Check mappings, see what they leave, and change the tables that they are replicated into.

    Exit status 0 done, 1 the mapping does not hold or is refused, or what is asked for is not known, 2 wrong use.
    """


for command in (*mapping_change_commands, diff):
    mapping_group.add_command(command)


@mapping_group.command(
    epilog="""\b
Examples:
  dynaurora mapping check web_analytics
  dynaurora mapping check ./dynaurora/tables/orders.json
  dynaurora mapping check web_analytics --compiled && echo as fast as it gets
  dynaurora mapping check web_analytics --json
"""
)
@click.argument("mapping")
@click.option("--compiled", is_flag=True, help="Fail, with status 1, where records are not mapped by compiled code.")
@json_option
def check(mapping: str, compiled: bool, as_json: bool) -> None:
    """Check MAPPING, by its name or the path of its file, and say how its records become rows.

    Rows are made by code that is compiled from the mapping, where its schema speaks of attributes one by one; else
    every record is mapped by the plain modules, with the same result, but several times slower. Either way a record
    that compiled code is not sure of, as one that the mapping refuses, is mapped plainly. What takes more than linear
    time is named: a pattern that does is refused, for the rest records are mapped in a process of their own.
    """
    from dynaurora.mappings.compiled.describing import describe_mapping

    found = load(mapping)
    fit_page(found)
    bound_patterns(found)
    description = describe_mapping(found)
    if as_json:
        print_json(as_document(found, description))
    else:
        print_description(found, description)
    if compiled and description.why_plain:
        raise click.ClickException(
            f"Records of {found.name} are not mapped by compiled code: {description.why_plain}."
            " Say it in the schema of an attribute, or leave --compiled out."
        )


def as_document(mapping: Mapping, description: Description) -> dict[str, object]:
    """Return the result for machines."""
    from dynaurora.mappings.bounds import find_costly

    return {
        "mapping": mapping.name,
        "table": mapping.source_table,
        "target": f"{mapping.database}.{mapping.table}",
        "path": "plain" if description.why_plain else "compiled",
        "why_plain": description.why_plain or None,
        "refusals": "jsonschema" if description.why_jsonschema else "compiled",
        "why_jsonschema": description.why_jsonschema or None,
        "attributes": [{"name": name, "decoded": how} for name, how in description.attributes],
        "columns": [
            {"name": name, "type": kind, "from": source, "written": how}
            for name, kind, source, how in description.columns
        ],
        "costly": [part._asdict() for part in find_costly(mapping)],
    }


def print_description(mapping: Mapping, description: Description) -> None:
    """Print the result for people."""
    from dynaurora.mappings.bounds import find_costly

    path = f"by the plain modules: {description.why_plain}" if description.why_plain else "by compiled code"
    judged = f"by jsonschema: {description.why_jsonschema}" if description.why_jsonschema else "by the compiled schema"
    names = [("mapping", mapping.name), ("table", mapping.source_table)]
    target = ("target", f"{mapping.database}.{mapping.table}")
    print_pairs([*names, target, ("rows", path), ("refusals", judged)])
    if description.attributes:
        print_line()
        print_table([("attribute", "decoded"), *description.attributes])
    print_line()
    print_table([("column", "type", "from", "written"), *description.columns])
    if costly := list(find_costly(mapping)):
        print_line()
        print_line("Records are mapped in a process of their own, since nothing bounds the work of:")
        for part in costly:
            print_line(f"  {part}")


def print_table(rows: list[tuple[str, ...]]) -> None:
    """Print rows in columns."""
    for line in format_table(rows, NO_NUMBERS):
        print_line(line)
