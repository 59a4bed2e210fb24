"""`dynaurora prepare`: create a mapping's tables in Aurora."""

from __future__ import annotations

import json
from pathlib import Path

import click
from botocore.exceptions import BotoCoreError, ClientError

from backfill.deployment.clients import connect_objects
from backfill.project import load_mapping
from dynaurora.aurora import migrations, raw_rows, sql
from dynaurora.aurora.column_changes import Patience
from dynaurora.aurora.column_plan import plan_columns
from dynaurora.aurora.connection import Endpoint, connect
from dynaurora.aurora.secrets import read_credentials
from dynaurora.aurora.staging import Staging, make_tables, read_staging, record_staging
from dynaurora.errors import DynauroraError
from dynaurora.target.change_mapping import apply_change

EPILOG = """
\b
Examples:
  dynaurora prepare web_analytics --host HOST --secret-arn ARN --ca-file CA --dry-run
  dynaurora prepare web_analytics --host HOST --secret-arn ARN --ca-file CA
  dynaurora prepare web_analytics --host HOST --secret-arn ARN --ca-file CA --bucket BUCKET

\b
CA is Amazon RDS's bundle: `make package` puts it at build/certificates/rds-global-bundle.pem.

\b
The secret's user needs these grants, and CREATE on *.* where the database is not there yet:
  GRANT CREATE, ALTER, CREATE VIEW, CREATE TEMPORARY TABLES, DROP, SELECT, INSERT, UPDATE, DELETE ON Demo.* TO preparer;
  GRANT CREATE ROUTINE, ALTER ROUTINE, EXECUTE, TRIGGER ON Demo.* TO preparer;
The loader, whose secret the stack gets, needs only these, granted directly, through no role:
  GRANT SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES ON Demo.* TO loader;
  GRANT AWS_LOAD_S3_ACCESS TO loader;
  GRANT EXECUTE ON PROCEDURE Demo._dynaurora_triggers TO loader;
  GRANT SHOW VIEW ON Demo.* TO loader;
"""


@click.command(epilog=EPILOG)
@click.argument("mapping")
@click.option("--host", required=True, help="The cluster's writer endpoint.")
@click.option("--port", default=3306, show_default=True, type=click.IntRange(1, 65535), help="The cluster's port.")
@click.option("--secret-arn", required=True, help="The secret of a user who may create tables.")
@click.option(
    "--ca-file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The certificate authorities to believe that the database is the one, PEM.",
)
@click.option(
    "--staging-tables",
    type=click.IntRange(0, 1000),
    help="For a server that does not load from S3 into temporary tables, which `dynaurora doctor` finds: make so many"
    " permanent ones for batches to be staged in, as many as ImportConcurrency. 0 stages in temporary ones again.",
)
@click.option(
    "--bucket",
    help="The landing bucket: have the mapping be the active one too, which the stack's functions read there.",
)
@click.option("--dry-run", is_flag=True, help="Print the statements, and run none.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as one JSON object.")
def prepare(
    mapping: str,
    host: str,
    port: int,
    secret_arn: str,
    ca_file: Path,
    staging_tables: int | None,
    bucket: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Create or complete the tables and the view of MAPPING in Aurora, and the system tables. Safe to repeat.

    Columns that the mapping has more are added, longer ones widened; `dynaurora mapping plan` shows what would be done.
    """
    try:
        wanted = load_mapping(mapping)
        endpoint = Endpoint(host, port, ca_file.read_text("ascii"))
        with connect(endpoint, read_credentials(secret_arn)) as aurora:
            if dry_run:
                collation = sql.key_collation(aurora.server_version)
                plan = plan_columns(aurora, wanted, *migrations.read_earlier(aurora, wanted))
                plan.require_allowed()
                click.echo("\n".join(f"{statement};" for statement in plan.statements))
                for slot in range(1, (staging_tables or 0) + 1):
                    table = sql.name_staged(wanted, slot)
                    click.echo(f"{sql.drop_table(wanted, table)};\n{sql.create_permanent(wanted, table, collation)};")
                    raw = raw_rows.name_raw(wanted, slot)
                    click.echo(f"{sql.drop_table(wanted, raw)};\n{raw_rows.create_raw(wanted, raw)};")
                return
            applied = migrations.prepare_target(aurora, wanted, platform=bucket)
            if staging_tables is not None:
                record_staging(aurora, wanted, make_tables(aurora, wanted, staging_tables))
            if bucket:
                apply_change(aurora, wanted, connect_objects(), bucket, Patience())
            staging = read_staging(aurora, wanted) or Staging()
    except (DynauroraError, BotoCoreError, ClientError) as error:
        raise click.ClickException(str(error)) from error
    view = f"{wanted.database}.{wanted.table}"
    done = {"mapping": mapping, "view": view, "migrations": applied, "staging_tables": staging.tables}
    if as_json:
        click.echo(json.dumps(done))
    else:
        click.echo(f"{view} is ready; migrations applied: {', '.join(applied) or 'none, all were there'}.")
        click.echo(f"Batches are staged in {staging}.")
