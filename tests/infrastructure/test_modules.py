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
    "tools": {"backfill", "dynaurora", "local", "tools"},
}
"""The project's packages that each may import."""

ALLOWED_MODULES = {
    "backfill/calculating.py": {"infra"},
    "backfill/commands/cost.py": {"infra"},
    "backfill/commands/local.py": {"local"},
    "backfill/commands/local_shared.py": {"local"},
    "backfill/commands/local_status.py": {"local"},
    "backfill/commands/deploy.py": {"infra"},
    "backfill/costs/calculator.py": {"infra"},
    "backfill/costs/quantities.py": {"infra"},
    "backfill/deployment/plans.py": {"infra"},
    "backfill/deployment/schedules.py": {"infra"},
}
"""The command line starts the local AWS, deploys what is in `infra`, and knows what it costs: these modules of it alone
may import them."""

PREFIXES = {keys.PROCESSED, keys.FAILED_RECORDS, keys.BATCHES, keys.FAILED_BATCHES, keys.UNFORWARDED}

AWS = {"dynaurora/aws/*.py", "dynaurora/dynamodb/source.py", "dynaurora/aurora/secrets.py"}

ONE_PLACE = {
    "pymysql": {"dynaurora/aurora/connection.py"},
    "boto3": {"dynaurora/aws/sdk.py"},
    "botocore": AWS,
    "aws_lambda_powertools": {"dynaurora/observability.py"},
}
"""Libraries that one module, or the modules of one side, speak to for all others."""

LAYERS = (
    ("escaping",),
    ("errors", "pages"),
    ("settings", "observability", "keys"),
    ("aws",),
    ("dynamodb",),
    ("mappings",),
    ("aurora", "inference", "linting"),
    ("batches", "target"),
    ("failures",),
    ("stream", "exports", "measure_health"),
    ("runs", "verification", "purging"),
)
"""The core's packages and modules, the lowest first: each imports from itself and from lower ones only."""

COMMANDS_LAYERS = (
    ("terminal", "kinds", "costs"),
    ("project",),
    ("deployment",),
    ("runs", "samples"),
    ("failures",),
    ("calculating", "comparing_exports", "overview", "rereading", "trials", "verifying"),
    ("gaps", "looking", "repairing", "reporting"),
    ("ui",),
    ("commands",),
    ("cli",),
)
"""The same of the command line."""

WITHOUT_A_CORE_FILE = {
    "open_run": "a method of runs/runs.py, beside the others that change a run's row",
    "describe_runs": "a method of runs/runs.py, which reads the rows that the others write",
    "record_failed_batch": "in failures/failed_batches.py, which defines what is recorded",
    "register_replication": "in mappings/replications.py, which reads what it registers",
    "report_run": "chooses between runs/report_backfill.py and runs/report_reprocess.py",
}
"""Functions whose step has no core file of their name, and why."""

LONGEST = {"dynaurora/mappings/compiled/schemas.py": 700, "dynaurora/errors.py": 550, "dynaurora/keys.py": 500}
LONG = 450
"""Lines of a core module; the compiled keywords of JSON Schema stand together, and so do all errors and keys."""


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
            assert any(Path(module).match(place) for place in places)


def find_part(module):
    """The package or module of its own that a module is in: `mappings` of `dynaurora.mappings.rows`."""
    return module.split(".")[1]


def find_own_imports(module):
    """The modules of its own top-level package that a module mentions, those for type checkers too."""
    own = Path(module).parts[0]
    for node in ast.walk(parse(module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == own:
            yield from [f"{own}.{alias.name}" for alias in node.names] if node.module == own else [node.module]


@pytest.mark.parametrize(("package", "layers"), [("dynaurora", LAYERS), ("backfill", COMMANDS_LAYERS)])
def test_layers_import_from_lower_ones_only(package, layers):
    rank = {part: number for number, layer in enumerate(layers) for part in layer}
    for module in list_modules(package):
        name = ".".join(Path(module).with_suffix("").parts)
        if Path(module).parts[1] == "__init__.py":
            continue
        part = find_part(name)
        for imported in find_own_imports(module):
            other = find_part(imported)
            assert other in {part, "__version__"} or rank[other] < rank[part], f"{module} imports {imported}"


def test_the_layers_name_every_part_once():
    parts = {Path(module).parts[1].removesuffix(".py") for module in list_modules("dynaurora")} - {"__init__"}
    named = [part for layer in LAYERS for part in layer]
    assert sorted(named) == sorted(parts)


def test_modules_import_each_other_in_no_circle():
    imports = {
        ".".join(Path(module).with_suffix("").parts): set(find_own_imports(module))
        for package in ("dynaurora", "backfill")
        for module in list_modules(package)
    }
    while leaves := {name for name, others in imports.items() if not others & imports.keys() - {name}}:
        imports = {name: others for name, others in imports.items() if name not in leaves}
    assert not imports


@pytest.mark.parametrize("name", [Path(module).stem for module in list_modules("lambdas") if "__init__" not in module])
def test_a_function_has_a_core_file_of_its_name(name):
    files = [module for module in list_modules("dynaurora") if Path(module).stem == name]
    assert len(files) == (name not in WITHOUT_A_CORE_FILE)
    for file in files:
        module = ".".join(Path(file).with_suffix("").parts)
        assert module in set(find_imports(f"lambdas/{name}.py"))


def test_no_module_shares_its_name_with_another_of_the_core():
    stems = [Path(module).stem for module in list_modules("dynaurora") if "__init__" not in module]
    assert len(stems) == len(set(stems))


def test_no_public_name_stands_twice_in_the_core():
    places = {}
    for module in list_modules("dynaurora"):
        for name in list_public_names(module):
            places.setdefault(name, []).append(module)
    assert not {name: modules for name, modules in places.items() if len(modules) > 1}


def list_public_names(module):
    for node in parse(module).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        else:
            names = [node.target.id] if isinstance(node, ast.AnnAssign) else []
        yield from (name for name in names if not name.startswith("_"))


@pytest.mark.parametrize("module", list_modules("dynaurora"))
def test_a_core_module_is_short(module):
    assert len((PROJECT / module).read_text().splitlines()) <= LONGEST.get(module, LONG)


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
