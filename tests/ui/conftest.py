"""Pages in a real browser, of a local AWS on which a backfill goes on. Run by `make test-ui`, and by nothing else.

served   the local AWS, and the address of `dynaurora ui` on it
browser  chromium, without a screen
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import DYNAURORA, LocalAws
from tests.integration.backfill.deployed import make_environment, set_faults

if TYPE_CHECKING:
    from playwright.sync_api import Page

MAPPING = "web_analytics"
WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")
PATIENCE_SECONDS = 300
"""How long anything is waited for, on a machine that others use too: what is tested is what comes, not when."""
PATIENCE_MS = PATIENCE_SECONDS * 1000
SHOTS = os.environ.get("UI_SHOTS")
"""Folder that takes a picture of each page, where somebody wants to see them."""


def pytest_ignore_collect() -> bool | None:
    """Leave these out where nobody asked for them: they need a browser."""
    return None if os.environ.get("UI") else True


@dataclass(frozen=True)
class Served:
    """A local AWS with a status page."""

    aws: LocalAws
    url: str
    environment: dict[str, str]

    @property
    def place(self) -> str:
        """What all addresses begin with."""
        return self.url.partition("?")[0]

    @property
    def origin(self) -> str:
        return f"http://{urlsplit(self.url).netloc}"

    def hold_exports(self, *, held: bool) -> None:
        """Keep exports from ending, or let them."""
        set_faults(self.aws.state.endpoint_url, hold_exports=int(held))

    def ask(self, *words: str) -> Any:
        """Run a command with --json and return what it told, whatever its exit status is."""
        answer = subprocess.run(
            [DYNAURORA, *words, "--json"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert answer.stdout, answer.stderr
        return json.loads(answer.stdout)


class Console:
    """What a page complained of, and what it asked for."""

    def __init__(self, page: "Page") -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("dialog", lambda dialog: self.said.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: self.asked.append(request.url))


def find_violations(page: "Page", axe: str) -> list[tuple[str, str]]:
    """Return what axe-core finds, of every rule that it has."""
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [(one["id"], node["html"][:200]) for one in found for node in one["nodes"]]


def take_picture(page: "Page", name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    aws = LocalAws(tmp_path_factory.mktemp("ui"))
    aws.run("up")
    environment = aws._environment(make_environment(aws.state.endpoint_url, aws.state.region))
    with subprocess.Popen(
        [DYNAURORA, "ui", "--json"], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as page:
        assert page.stdout
        try:
            yield Served(aws, json.loads(page.stdout.readline())["url"], environment)
        finally:
            page.kill()
            aws.run("down")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    path = shutil.which("chromium")
    assert path, "make test-ui installs chromium"
    with sync_playwright() as driver:
        # As root, as CI is, chromium has no sandbox; what it opens here is ours.
        browser = driver.chromium.launch(executable_path=path, chromium_sandbox=os.geteuid() != 0)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    return (Path(__file__).parents[2] / ".venvs/axe/node_modules/axe-core/axe.min.js").read_text("utf-8")
