"""Imports point one way, and each thing that touches the outside is in one place."""

import ast
from functools import cache
from pathlib import Path

import pytest

from dynaurora import keys
from tests.infrastructure.deployment import PROJECT

ALLOWED = {
    "dynaurora": {"dynaurora"},
    "lambdas": {"dynaurora"},
    "infra": {"dynaurora", "infra"},
    "local": {"dynaurora", "infra", "local"},
    "backfill": {"backfill", "dynaurora"},
}
"""The project's packages that each may import."""

ALLOWED_MODULES = {"backfill/commands/local.py": {"local"}}
"""The command line starts the local AWS: this one module of it may import `local`."""

PREFIXES = {keys.PROCESSED, keys.FAILED_RECORDS, keys.BATCHES, keys.FAILED_BATCHES, keys.UNFORWARDED}

ONE_PLACE = {
    "pymysql": {"dynaurora/aurora/connection.py"},
    "boto3": {"dynaurora/aws/sdk.py"},
    "aws_lambda_powertools": {"dynaurora/observability.py"},
}
"""Libraries that one module speaks to, for all others."""


def list_modules(*packages):
    return [
        str(path.relative_to(PROJECT)) for package in packages for path in sorted((PROJECT / package).rglob("*.py"))
    ]


@cache
def parse(module):
    return ast.parse((PROJECT / module).read_text())


def find_imports(module):
    """Every module that is imported when this one runs: not those for type checkers only."""
    hidden = {
        id(inner)
        for node in ast.walk(parse(module))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(parse(module)):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module if node.level == 0 else Path(module).parts[0]


@pytest.mark.parametrize("module", list_modules(*ALLOWED))
def test_imports_point_one_way(module):
    own = {name.split(".")[0] for name in find_imports(module)} & {*ALLOWED, "tests"}
    assert own <= ALLOWED[Path(module).parts[0]] | ALLOWED_MODULES.get(module, set())


@pytest.mark.parametrize("module", list_modules("dynaurora", "lambdas"))
def test_a_library_is_spoken_to_in_one_place(module):
    for library, places in ONE_PLACE.items():
        if library in {name.split(".")[0] for name in find_imports(module)}:
            assert module in places


@pytest.mark.parametrize("module", list_modules("dynaurora", "lambdas"))
def test_only_the_settings_read_the_environment(module):
    reads = {ast.unparse(node) for node in ast.walk(parse(module)) if isinstance(node, ast.Attribute)}
    if module != "dynaurora/settings.py":
        assert not reads & {"os.environ", "os.getenv", "os.environb"}


@pytest.mark.parametrize("module", list_modules("dynaurora", "lambdas"))
def test_only_the_keys_know_the_buckets_prefixes(module):
    if module == "dynaurora/keys.py":
        return
    texts = {
        node.value for node in ast.walk(parse(module)) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    texts -= {text for text in texts if " " in text}  # docstrings and messages may name them
    assert not {text for text in texts if any(text.startswith(f"{prefix}/") for prefix in PREFIXES)}


@pytest.mark.parametrize("module", list_modules("lambdas"))
def test_a_handlers_file_is_short_and_has_one_entry(module):
    functions = [node.name for node in parse(module).body if isinstance(node, ast.FunctionDef)]
    assert len((PROJECT / module).read_text().splitlines()) <= 80
    assert functions[:1] == ([] if module.endswith("__init__.py") else ["lambda_handler"])
