"""The SAM CLI, as docs/deploy.md has people use it: the templates are valid, are built, and are deployed to a pipeline.

`make sam` runs this, and `make test` does not: the tool takes half a minute to install. The templates are built and
deployed in a copy of what they need, with this machine's package in place of the one for AWS; all else is as there.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from dynaurora import keys
from infra.build_package import TEMPLATES_PACKAGE, Target, build_package
from local.deployment import FROM_PLATFORM
from local.stack import REGION, Stack
from local.venvs import ensure
from tests.infrastructure.deployment import PROJECT, REPLICATION, ROOT, list_resources, list_templates, read_template
from tests.support.example import load_example
from tests.support.factories import click, click_item

pytestmark = pytest.mark.integration

BUILT = ".aws-sam/build"
WAIT_SECONDS = 60.0
URIS = ("CodeUri", "DefinitionUri", "TemplateURL")


@dataclass(frozen=True)
class Checkout:
    """A copy of what a deployment is made from, and `sam` in its folder infra/."""

    directory: Path

    @property
    def infra(self) -> Path:
        return self.directory / "infra"

    def sam(self, *arguments: str, **variables: str) -> str:
        """Run the tool and return what it says. It asks nobody, tells nobody, and leaves nothing in a home."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        settings = {"HOME": str(self.directory), "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": REGION}
        done = subprocess.run(
            [ensure("sam").with_name("sam"), *arguments],
            cwd=self.infra,
            env=inherited | settings | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def build(self, root: str = ROOT) -> Path:
        """Build what a root template leads to, and return where everything is then."""
        self.sam("build", "--template", f"{root}.yaml")
        return self.infra / BUILT

    def deploy(self, name: str, artifacts: str, given: dict[str, str], account: dict[str, str]) -> str:
        """Deploy what was built last."""
        return self.sam(
            *("deploy", "--stack-name", name, "--s3-bucket", artifacts, "--no-confirm-changeset", "--no-progressbar"),
            *("--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"),
            *("--parameter-overrides", *(f'{parameter}="{value}"' for parameter, value in given.items())),
            **account,
        )


@pytest.fixture(scope="module")
def package() -> Path:
    """What the functions are deployed as on this machine."""
    return build_package(Target(f"{sys.version_info.major}.{sys.version_info.minor}", "local")).archive


@pytest.fixture
def checkout(tmp_path: Path, package: Path) -> Checkout:
    (tmp_path / "infra").mkdir()
    for template in (PROJECT / "infra").glob("*.yaml"):
        shutil.copy(template, tmp_path / "infra")
    shutil.copytree(PROJECT / "statemachines", tmp_path / "statemachines")
    (tmp_path / "build").mkdir()
    shutil.copy(package, tmp_path / "build" / TEMPLATES_PACKAGE)
    return Checkout(tmp_path)


@pytest.mark.parametrize("name", list_templates())
def test_a_template_is_valid(checkout: Checkout, name: str) -> None:
    assert "is a valid SAM Template" in checkout.sam("validate", "--lint", "--template", f"{name}.yaml")


def test_what_is_built_has_every_template_and_leads_to_the_package_and_the_state_machines(
    checkout: Checkout, package: Path
) -> None:
    built = checkout.build()
    nested = {stack.id: stack.properties["TemplateURL"] for stack in list_resources("AWS::CloudFormation::Stack")}
    templates = {path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file()}
    assert templates == {"template.yaml"} | {f"{stack}/template.yaml" for stack in nested}
    led_to = set()
    for path in templates:
        source = nested.get(path.partition("/")[0], f"{ROOT}.yaml").removesuffix(".yaml")
        resources = read_built(built / path)["Resources"]
        assert resources.keys() == read_template(source)["Resources"].keys()
        for body in resources.values():
            for uri in filter(None, map(body.get("Properties", {}).get, URIS)):
                led_to.add(((built / path).parent / uri).resolve())
    code = {checkout.directory / "build" / TEMPLATES_PACKAGE, *(checkout.directory / "statemachines").glob("*.json")}
    assert led_to == code | {built / f"{stack}/template.yaml" for stack in nested}
    assert (checkout.directory / "build" / TEMPLATES_PACKAGE).read_bytes() == package.read_bytes(), "as it was"


def test_a_replication_is_built_of_the_same_package(checkout: Checkout) -> None:
    built = checkout.build(REPLICATION)
    assert [path.name for path in built.rglob("*") if path.is_file()] == ["template.yaml"]
    resources = read_built(built / "template.yaml")["Resources"]
    assert resources.keys() == read_template(REPLICATION)["Resources"].keys()
    uris = {body["Properties"]["CodeUri"] for body in resources.values() if "CodeUri" in body.get("Properties", {})}
    assert {(built / uri).resolve() for uri in uris} == {checkout.directory / "build" / TEMPLATES_PACKAGE}


def read_built(path: Path) -> dict[str, Any]:
    """Read a template as the linter does, which knows its short forms."""
    from cfnlint.decode import decode

    template, problems = decode(str(path))
    assert not problems
    return dict(json.loads(json.dumps(template)))


@pytest.fixture(scope="module")
def client(stack: Stack) -> Callable[[str], Any]:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return lambda service: boto3.client(service, endpoint_url=stack.endpoint_url, region_name=REGION, **keys)


@pytest.fixture(scope="module")
def existing_database(stack: Stack, client: Callable[[str], Any]) -> dict[str, str]:
    """The parameters that name a database and its administrator."""
    administrator = stack.server.users.administrator
    secret = json.dumps({"username": administrator.username, "password": administrator.password})
    arn = client("secretsmanager").create_secret(Name="administrator", SecretString=secret)["ARN"]
    address = {"DatabaseHost": stack.gateway.host, "DatabasePort": str(stack.gateway.port)}
    return {**address, "DatabaseAdminSecretArn": arn}


@pytest.mark.parametrize("database", ["made", "existing"])
def test_what_is_deployed_replicates(
    checkout: Checkout,
    stack: Stack,
    client: Callable[[str], Any],
    existing_database: dict[str, str],
    database: str,
) -> None:
    """From templates to the first row, by the commands of the page: in an empty account, and with a database."""
    name, table = f"shop-{database}", f"clicks-{database}"
    artifacts = f"artifacts-{database}"
    client("s3").create_bucket(Bucket=artifacts)
    given = {
        **(existing_database if database == "existing" else {}),
        "DatabaseCa": stack.certificates.ca_file.read_text(),
    }
    account = {"AWS_ENDPOINT_URL": stack.endpoint_url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    checkout.build()
    said = checkout.deploy(name, artifacts, given, account)
    assert f"Successfully created/updated stack - {name}" in said
    (described,) = client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
    mapping = load_example()
    key = keys.mapping_document(mapping.name, mapping.digest)
    client("s3").put_object(Bucket=outputs["LandingBucketName"], Key=key, Body=mapping.text.encode())
    replication = {
        **{output: outputs[output] for output in FROM_PLATFORM},
        "Name": f"{name}-clicks",
        "Mapping": mapping.name,
        "MappingDigest": mapping.digest,
        "SourceTableName": table,
        "PartitionKey": mapping.partition_key,
        "SortKey": mapping.sort_key or "",
        "BufferSeconds": "1",
        "TransformBufferSeconds": "1",
        "StreamBufferSeconds": "1",
    }
    checkout.build(REPLICATION)
    said = checkout.deploy(f"{name}-clicks", artifacts, replication, account)
    assert f"Successfully created/updated stack - {name}-clicks" in said
    client("dynamodb").put_item(TableName=table, Item=click_item(click(Hits=7), database))
    deadline = time.monotonic() + WAIT_SECONDS
    while (database, 7) not in read_hits(stack):
        assert time.monotonic() < deadline, "no row"
        time.sleep(0.2)


def read_hits(stack: Stack) -> tuple[Any, ...]:
    with stack.server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT page_id, hits FROM Demo.WebAnalytics")
        return tuple(cursor.fetchall())
