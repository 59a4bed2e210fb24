import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from backfill.cli import main
from backfill.commands import deploy
from backfill.deployment.plans import UPDATE, Plan, PlatformStep
from tests.support.factories import mapping_document


@pytest.mark.parametrize("words", [["--all"], []], ids=["all", "what changed"])
def test_what_goes_on_after_an_interrupt_is_what_was_asked_for(words, tmp_path, monkeypatch):
    (tmp_path / "dynaurora.toml").write_text("")
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings/orders.json").write_text(json.dumps(mapping_document()))
    plan = Plan("123456789012", "eu-west-1", PlatformStep("dynaurora", UPDATE, "another release", 0.0))

    def interrupt(*_):
        raise KeyboardInterrupt

    deployer = SimpleNamespace(plan=lambda *_, **__: plan, carry_out=interrupt)
    monkeypatch.setattr(deploy, "make_deployer", lambda _project: deployer)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    answer = CliRunner().invoke(main, ["--project", str(tmp_path), "deploy", "--yes", "--json", *words])
    told = next(
        line for line in answer.stderr.splitlines() if line.startswith("What CloudFormation has begun goes on.")
    )
    assert told.endswith(" ".join(["deploy", *words]))
