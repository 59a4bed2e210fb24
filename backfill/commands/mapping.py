"""`dynaurora mapping …`: mappings checked, and what becomes of their records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from backfill.commands.mapping_change import mapping_change_commands
from backfill.commands.mapping_diff import diff
from backfill.commands.mapping_files import load, read_document
from backfill.commands.mapping_infer import infer
from backfill.commands.mapping_rebuild import rebuild_command
from backfill.commands.mapping_try import try_command
from backfill.commands.options import json_option
from backfill.deployment.aws_errors import explained_errors
from backfill.terminal.console import print_json, print_line, print_pairs, print_table
from backfill.terminal.formatting import format_count
from dynaurora.linting.findings import ERROR

if TYPE_CHECKING:
    from dynaurora.linting.findings import LintFinding
    from dynaurora.mappings.compiled.describing import Description
    from dynaurora.mappings.mapping import Mapping

MOST_SHOWN: Final = 1_000
"""Characters of a place, and of a message, that are printed for people."""


@click.group(
    "mapping",
    epilog="""\b
Examples:
  dynaurora mapping infer --table orders -o mappings/orders.json
  dynaurora mapping check web_analytics
  dynaurora mapping try web_analytics
  dynaurora mapping plan web_analytics
  dynaurora mapping apply web_analytics
  dynaurora mapping rebuild web_analytics
  dynaurora mapping diff web_analytics
""",
)
def mapping_group() -> None:
    """Make and check mappings, see what they take and leave, and change the tables that they are replicated into.

    Exit status 0 done, 1 the mapping does not hold or is refused, or what is asked for is not known, 2 wrong use.
    """


for command in (*mapping_change_commands, rebuild_command, diff, infer, try_command):
    mapping_group.add_command(command)


@mapping_group.command(
    epilog="""\b
Examples:
  dynaurora mapping check web_analytics
  dynaurora mapping check ./mappings/orders.json
  dynaurora mapping check web_analytics --table
  dynaurora mapping check web_analytics --explain
  dynaurora mapping check web_analytics --compiled && echo as fast as it gets
  dynaurora mapping check web_analytics --json | jq '.findings[]'
"""
)
@click.argument("mapping")
@click.option(
    "--table",
    is_flag=False,
    flag_value="",
    metavar="[T]",
    help="Hold the key against that of the table in DynamoDB: the mapping's own, or T. Behind MAPPING.",
)
@click.option("--explain", is_flag=True, help="Say how each attribute is decoded, and each column written.")
@click.option("--compiled", is_flag=True, help="Fail, with status 1, where records are not mapped by compiled code.")
@json_option
def check(mapping: str, table: str | None, explain: bool, compiled: bool, as_json: bool) -> None:
    """Check MAPPING, by its name or the path of its file, and tell all that is wrong with it or doubtful.

    An error is what keeps it from being deployed, has every item with an attribute refused, or keeps a column NULL for
    good. A warning is what may refuse some items. Each names its place in the file, as a JSON pointer, and a remedy.

    Rows are made by code that is compiled from the mapping, where its schema speaks of attributes one by one; else
    every record is mapped by the plain modules, with the same result, but several times slower. Either way a record
    that compiled code is not sure of, as one that the mapping refuses, is mapped plainly. What takes more than linear
    time is named, and a pattern that counts far: a pattern that is not linear is an error, for the rest records are
    mapped in a process of their own.

    Exit status 0 where there are no errors, 1 where there are, 2 for wrong use.
    """
    name, document = read_document(mapping)
    findings = find_all(name, document, table)
    errors = sum(each.severity == ERROR for each in findings)
    targets = () if errors else load(mapping).targets
    descriptions = [describe(target) for target in targets]
    if as_json:
        told = {"holds": not errors, "findings": [each.as_dict() for each in findings]}
        print_json({"mapping": name, **told, **as_documents(targets, descriptions)})
    else:
        print_findings(findings)
        for target, description in zip(targets, descriptions, strict=True):
            print_description(target, description, explain=explain)
    if errors:
        raise click.ClickException(f"{name} does not hold: {format_count(errors, 'error')}. Correct the file.")
    why_plain = next((each.why_plain for each in descriptions if each.why_plain), "")
    if compiled and why_plain:
        raise click.ClickException(
            f"Records of {name} are not mapped by compiled code: {why_plain}."
            " Say it in the schema of an attribute, or leave --compiled out."
        )


@mapping_group.command(
    epilog="""\b
Examples:
  dynaurora mapping schema > mapping.schema.json
"""
)
def schema() -> None:
    """Print the JSON Schema of mapping files, for editors: what `$schema` of a mapping may name."""
    from dynaurora.mappings.files import SCHEMA_FILE

    click.echo(SCHEMA_FILE.read_text("utf-8"), nl=False)


def find_all(name: str, document: Any, table: str | None) -> list[LintFinding]:
    """Return the findings in a mapping's file; the key is held against a table's where one is to be asked."""
    from backfill.samples import describe_table
    from dynaurora.linting.lint_mapping import lint_mapping  # takes a second

    key_types = None
    if table is not None:
        source = document.get("source") if isinstance(document, dict) else None
        own = source.get("table") if isinstance(source, dict) else None
        with explained_errors():
            key_types = describe_table(table or str(own)).key_types
    return lint_mapping(name, document, key_types)


def describe(mapping: Mapping) -> Description:
    """Return how a mapping's records become rows."""
    from dynaurora.mappings.compiled.describing import describe_mapping

    return describe_mapping(mapping)


def print_findings(findings: list[LintFinding]) -> None:
    """Print findings for people."""
    for each in findings:
        place = each.place or "the file"
        message = each.message.rstrip(".")[:MOST_SHOWN]
        print_line(f"{each.severity:<8} {place[:MOST_SHOWN]}: {message}. {each.remedy}".rstrip())
    if findings:
        print_line()


def as_documents(targets: tuple[Mapping, ...], descriptions: list[Description]) -> dict[str, object]:
    """Return for machines how records become rows: of the one target, or of each of several."""
    documents = list(map(as_document, targets, descriptions))
    return documents[0] if len(documents) == 1 else {"targets": documents} if documents else {}


def as_document(mapping: Mapping, description: Description) -> dict[str, object]:
    """Return the result for machines."""
    return {
        "mapping": mapping.name,
        "table": mapping.source_table,
        "target": f"{mapping.database}.{mapping.table}",
        **({"when": mapping.when} if mapping.when else {}),
        "path": "plain" if description.why_plain else "compiled",
        "why_plain": description.why_plain or None,
        "refusals": "jsonschema" if description.why_jsonschema else "compiled",
        "why_jsonschema": description.why_jsonschema or None,
        "attributes": [{"name": name, "decoded": how} for name, how in description.attributes],
        "columns": [
            {"name": name, "type": kind, "from": source, "written": how}
            for name, kind, source, how in description.columns
        ],
    }


def print_description(mapping: Mapping, description: Description, *, explain: bool) -> None:
    """Print the result for people."""
    path = f"by the plain modules: {description.why_plain}" if description.why_plain else "by compiled code"
    judged = f"by jsonschema: {description.why_jsonschema}" if description.why_jsonschema else "by the compiled schema"
    names = [("mapping", mapping.name), ("table", mapping.source_table)]
    target = ("target", f"{mapping.database}.{mapping.table}")
    when = [("when", mapping.when)] if mapping.when else []
    print_pairs([*names, target, *when, ("rows", path), ("refusals", judged)])
    if not explain:
        return
    if description.attributes:
        print_line()
        print_table([("attribute", "decoded"), *description.attributes])
    print_line()
    print_table([("column", "type", "from", "written"), *description.columns])
