"""The functions' package: what is in it, that it runs on the runtime alone, that the same inputs make the same one."""

import datetime as dt
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dynaurora.aurora.authorities import find_regions
from infra import certificate_bundle, node
from infra.build_package import BUNDLE_IN_PACKAGE, LOCK, PackageError, Target, build_package, main
from infra.certificate_bundle import (
    FALLBACK_LACKS,
    TRUSTSTORES,
    BundleMissingError,
    check_bundle,
    obtain_bundle,
)
from local import venvs
from tests.infrastructure.deployment import FUNCTION, PROJECT, list_resources

LOCAL = Target(f"{sys.version_info.major}.{sys.version_info.minor}", "local")
ARM64 = Target("3.13", "arm64")
X86_64 = Target("3.13", "x86_64")
TARGETS = [LOCAL, ARM64, X86_64]

IN_AWS_RUNTIME = {"boto3", "botocore", "s3transfer", "urllib3"}
COMPILED = {"arm64": "cpython-313-aarch64-linux-gnu.so", "x86_64": "cpython-313-x86_64-linux-gnu.so"}


def make_certificate(days, name="a test's own authority"):
    """A certificate authority that is valid for `days` from two days ago, as PEM text."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + dt.timedelta(days)
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="module")
def ca_bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("certificates") / "bundle.pem"
    path.write_text(f"# our own\n{make_certificate(days=30)}{make_certificate(days=1)}")
    return str(path)


@pytest.fixture(autouse=True)
def no_region(monkeypatch):
    """Of a machine that names neither a Region nor a bundle."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "DYNAURORA_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of what a package is made of, with the downloaded dependencies of the real one."""
    root = tmp_path_factory.mktemp("project")
    for name in ("dynaurora", "lambdas"):
        shutil.copytree(PROJECT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "requirements").mkdir()
    shutil.copy(PROJECT / LOCK, root / LOCK)
    (PROJECT / "build" / "dependencies").mkdir(parents=True, exist_ok=True)
    (root / "build").mkdir()
    (root / "build" / "dependencies").symlink_to(PROJECT / "build" / "dependencies")
    return root


@pytest.fixture(scope="module", params=TARGETS, ids=lambda target: target.name)
def package(request, project, ca_bundle):
    return build_package(request.param, ca_bundle, project)


@pytest.fixture(scope="module")
def names(package):
    with zipfile.ZipFile(package.archive) as archive:
        return archive.namelist()


# What is in it


def test_it_has_our_code_and_its_data(names):
    own = {
        path.relative_to(PROJECT).as_posix()
        for source in ("dynaurora", "lambdas")
        for path in (PROJECT / source).rglob("*")
        if path.suffix in {".py", ".json", ".html", ".css"}
    }
    assert own <= set(names)


def test_it_has_not_what_the_runtime_brings_nor_what_nobody_needs(names):
    assert not IN_AWS_RUNTIME & {name.split("/")[0] for name in names}
    assert not [name for name in names if name.endswith((".pyi", ".c", "/RECORD"))]
    assert not [name for name in names if re.search(r"/tests?/|swagger_ui", name)]


def test_it_has_bytecode_of_all_its_modules_where_the_targets_python_is_here_and_of_nothing_else(package, names):
    modules = {name for name in names if name.endswith(".py")}
    compiled = {name for name in names if name.endswith(".pyc")}
    tag = f"cpython-{package.target.python.replace('.', '')}"
    sources = {name.replace("__pycache__/", "").replace(f".{tag}.pyc", ".py") for name in compiled}
    assert sources == (modules if package.is_compiled else set())
    assert package.is_compiled or package.target.is_for_aws


def run_from(package, directory, statement):
    """Run a statement with the package and the runtime's packages."""
    with zipfile.ZipFile(package.archive) as archive:
        archive.extractall(directory)
    for module in (directory / "dynaurora").rglob("*.py"):
        module.write_text("raise AssertionError('it was compiled again')")
    command = [str(venvs.ensure("runtime")), "-c", statement]
    environment = {"MAPPING": "web_analytics", "POWERTOOLS_SERVICE_NAME": "service", "LANDING_BUCKET": "landing"}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)


def test_a_function_starts_from_bytecode_and_without_what_takes_long(project, tmp_path):
    done = run_from(
        build_package(LOCAL, project=project),
        tmp_path,
        "import sys, lambdas.transform_changes;"
        " print({'boto3', 'jinja2', 'jsonschema', 'pymysql'} & sys.modules.keys())",
    )
    assert (done.stdout.strip(), done.returncode) == ("set()", 0), done.stderr


def test_without_the_targets_python_it_is_built_without_bytecode_and_says_so(project, ca_bundle, monkeypatch, capsys):
    launcher = project / "python3.13"
    launcher.write_text("#!/bin/sh\necho 'python3.13: command not found'\nexit 127\n")
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", str(project), prepend=":")
    package = build_package(ARM64, ca_bundle, project)
    assert not package.is_compiled
    monkeypatch.setattr("infra.build_package.build_package", lambda *_, **__: package)
    assert main(["--ca-bundle", ca_bundle]) == 0
    assert "There is no python3.13 here" in capsys.readouterr().out


def test_it_has_no_mapping_of_anybodys(names):
    assert not [name for name in names if "tables/" in name or name.startswith("examples/")]


def test_compiled_modules_are_for_the_target(package, names):
    compiled = [name for name in names if name.endswith(".so")]
    assert compiled
    if package.target.is_for_aws:
        assert all(name.endswith(COMPILED[package.target.architecture]) for name in compiled)


def test_a_package_for_aws_has_the_certificates_of_aurora_and_a_local_one_has_not(package, names):
    assert (BUNDLE_IN_PACKAGE in names) == package.target.is_for_aws


def test_the_templates_name_the_package_for_aws_that_was_asked_for_last(project, ca_bundle):
    for target in (ARM64, X86_64):
        package = build_package(target, ca_bundle, project)
        build_package(LOCAL, project=project)
        assert (project / "build" / "functions.zip").read_bytes() == package.archive.read_bytes()


# That it runs


@pytest.fixture(scope="module")
def unpacked(project, tmp_path_factory):
    """The package of this machine, as functions find it: they write nothing beside it."""
    directory = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(build_package(LOCAL, project=project).archive) as archive:
        archive.extractall(directory)
    return directory


@pytest.mark.integration
@pytest.mark.parametrize("function", list_resources(FUNCTION), ids=lambda function: function.snake)
def test_a_handler_is_imported_from_the_package_and_the_runtime_alone(function, unpacked):
    settings = {
        name: value if isinstance(value, str) else "1"
        for name, value in function.properties["Environment"]["Variables"].items()
    }
    settings |= {"MAPPING": "web_analytics", "TTL_DELETES": "replicate", "POWERTOOLS_LOG_LEVEL": "INFO"}
    done = subprocess.run(
        [str(venvs.ensure("runtime")), "-c", f"from lambdas.{function.snake} import lambda_handler"],
        cwd=unpacked,
        env={**settings, "AWS_REGION": "us-east-1", "AWS_LAMBDA_FUNCTION_NAME": function.kebab},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


# The same inputs make the same bytes


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_it_is_built_once(target, project, ca_bundle):
    first = build_package(target, ca_bundle, project)
    again = build_package(target, ca_bundle, project)
    assert not again.is_new
    assert again.sha256 == first.sha256


def test_it_is_built_to_the_same_bytes(project):
    first = build_package(LOCAL, project=project)
    first.archive.unlink()
    for path in (project / "dynaurora").rglob("*.py"):
        path.touch()
    again = build_package(LOCAL, project=project)
    assert again.is_new
    assert again.sha256 == first.sha256


def test_it_is_built_again_when_our_code_changes(project):
    first = build_package(LOCAL, project=project)
    added = project / "dynaurora" / "added.json"
    added.write_text("{}")
    try:
        changed = build_package(LOCAL, project=project)
    finally:
        added.unlink()
    assert changed.is_new
    assert changed.sha256 != first.sha256
    assert build_package(LOCAL, project=project).sha256 == first.sha256


def test_its_files_have_one_time_and_one_mode(package):
    with zipfile.ZipFile(package.archive) as archive:
        entries = archive.infolist()
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.external_attr >> 16 for entry in entries} == {0o100644}
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)


# The lock


def test_every_locked_package_has_hashes_and_one_version():
    entries = re.findall(
        r"^([a-z0-9-]+)(==\S+)?((?: \\\n +--hash=sha256:[0-9a-f]{64})*)", (PROJECT / LOCK).read_text(), re.MULTILINE
    )
    assert len(entries) > 20
    assert [name for name, version, hashed in entries if not version or not hashed] == []
    assert not IN_AWS_RUNTIME & {name for name, *_ in entries}


def test_the_lock_names_no_registry():
    assert "://" not in (PROJECT / LOCK).read_text()


def test_what_cannot_be_installed_says_so(project, monkeypatch):
    (project / "build" / "dependencies").unlink()
    (project / "build" / "dependencies").mkdir()
    locked = (project / LOCK).read_text()
    try:
        (project / LOCK).write_text("six==1.17.0 --hash=sha256:" + "0" * 64 + "\n")
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        with pytest.raises(PackageError, match=r"requirements/functions\.txt could not be installed"):
            build_package(LOCAL, project=project)
    finally:
        (project / LOCK).write_text(locked)
        (project / "build" / "dependencies").rmdir()
        (project / "build" / "dependencies").symlink_to(PROJECT / "build" / "dependencies")


def test_a_local_package_is_for_this_python_only(project):
    with pytest.raises(PackageError, match="for the Python that builds it"):
        build_package(Target("3.9", "local"), project=project)


# The certificates


def test_a_bundle_keeps_its_certificates_and_nothing_else(ca_bundle):
    checked = check_bundle(Path(ca_bundle).read_text())
    assert checked.count("BEGIN CERTIFICATE") == 2
    assert checked.startswith("-----BEGIN")
    assert check_bundle(checked) == checked


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no certificates"),
        ("no certificate", "no certificates"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificates"),
        (make_certificate(days=1), "expired"),
    ],
    ids=["empty", "text", "broken", "expired"],
)
def test_what_is_no_bundle_is_refused(text, problem):
    with pytest.raises(BundleMissingError, match=problem):
        check_bundle(text)


def test_a_package_for_aws_is_not_built_without_a_bundle(monkeypatch, capsys, tmp_path):
    missing = tmp_path / "missing.pem"
    assert main(["--architecture", "arm64", "--ca-bundle", str(missing)]) == 1
    message = capsys.readouterr().err
    assert "missing.pem cannot be read" in message
    assert "--ca-bundle FILE" in message


ROOT = "Amazon RDS {} Root CA RSA2048 G1"


def test_a_bundle_tells_its_regions_by_roots_that_are_valid():
    names = ["Amazon RDS Beta us-east-1 Root CA RSA2048 G1", "Amazon RDS eu-west-1 2019 CA", "another"]
    valid = [make_certificate(30, name) for name in [*names, ROOT.format("us-gov-east-1"), ROOT.format("cn-north-1")]]
    expired = make_certificate(1, ROOT.format("eu-west-1"))
    assert find_regions("".join([*valid, expired])) == {"us-gov-east-1", "cn-north-1"}


@pytest.fixture(scope="module")
def fallback():
    return certificate_bundle.fetch_bundle()


def list_regions():
    session = boto3.session.Session()
    return {
        region
        for partition in ("aws", "aws-us-gov", "aws-cn")
        for region in session.get_available_regions("rds", partition_name=partition)
        if "fips" not in region
    }


def test_the_fallback_has_a_root_for_each_region_but_those_that_are_named(fallback):
    """A Region that boto3 learns of, and the fallback does not know, has to be named in infra/certificate_bundle.py."""
    known = find_regions(fallback)
    assert list_regions() - known == FALLBACK_LACKS & list_regions()
    assert not FALLBACK_LACKS & known
    assert FALLBACK_LACKS - list_regions() <= {"ap-southeast-6", "ap-east-2", "mx-central-1"}, "newer than this boto3"


def serve_bundles(monkeypatch, bundles):
    """Let URLs answer with these texts, and all others fail."""

    def get(url):
        if url not in bundles:
            raise OSError("no route")
        return bundles[url]

    monkeypatch.setattr(certificate_bundle, "_get", get)


@pytest.mark.parametrize(
    ("region", "partition"),
    [(None, "aws"), ("il-central-1", "aws"), ("us-gov-west-1", "aws-us-gov"), ("cn-northwest-1", "aws-cn")],
)
def test_awss_own_bundle_is_taken_where_it_can_be_had(monkeypatch, region, partition):
    own = make_certificate(30, ROOT.format(region or "eu-west-1"))
    serve_bundles(monkeypatch, {TRUSTSTORES[partition]: own})
    assert obtain_bundle(region) == (own, TRUSTSTORES[partition])


def test_the_fallback_is_taken_where_it_cannot(monkeypatch, fallback):
    serve_bundles(monkeypatch, {})
    assert obtain_bundle("eu-west-1") == (fallback, certificate_bundle.NPM_PACKAGE)


@pytest.mark.parametrize("region", sorted(FALLBACK_LACKS))
def test_a_package_is_not_built_for_a_region_without_a_root(region, project, monkeypatch, fallback):
    serve_bundles(monkeypatch, {})
    monkeypatch.setattr(certificate_bundle, "fetch_bundle", lambda: fallback)
    with pytest.raises(BundleMissingError, match=f"no root of Amazon RDS for {region}"):
        build_package(ARM64, project=project, region=region)


def test_a_package_for_a_region_is_built_with_the_bundle_that_has_its_root(project, tmp_path, monkeypatch):
    path = tmp_path / "global-bundle.pem"
    path.write_text(make_certificate(30, ROOT.format("il-central-1")))
    built = build_package(ARM64, str(path), project, "il-central-1")
    with zipfile.ZipFile(built.archive) as package:
        assert find_regions(package.read(BUNDLE_IN_PACKAGE).decode()) == {"il-central-1"}
    with pytest.raises(BundleMissingError, match="for eu-west-1"):
        build_package(ARM64, str(path), project, "eu-west-1")
    url = "https://bundles.example/global.pem"
    serve_bundles(monkeypatch, {url: path.read_text()})
    assert build_package(ARM64, url, project, "il-central-1").sha256 == built.sha256


def fail_with(script):
    """An npm that does what a shell script says."""
    return lambda: ["/bin/sh", "-c", script, "npm"]


@pytest.mark.parametrize(
    ("npm", "problem"),
    [
        (fail_with("echo no route to the registry >&2; exit 1"), "no route to the registry"),
        (fail_with("echo other bytes > package.tgz"), "is not the archive whose SHA-256"),
    ],
    ids=["unreachable", "altered"],
)
def test_a_download_that_fails_or_was_altered_says_what_to_do(npm, problem, monkeypatch):
    monkeypatch.setattr(certificate_bundle, "find_npm", npm)
    with pytest.raises(BundleMissingError, match=problem):
        certificate_bundle.fetch_bundle()


def test_a_machine_without_node_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setattr(node.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(node.shutil, "which", lambda _: None)
    with pytest.raises(BundleMissingError, match=re.escape("pip install -e '.[dev]'")):
        certificate_bundle.fetch_bundle()
