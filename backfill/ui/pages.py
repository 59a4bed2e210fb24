"""The application: pages, their parts as HTML and as JSON, the documentation, and what a page loads.

A page is answered at once, with what is known; its script asks for each part again in the part's own time. Without a
script the browser loads the page anew.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import click
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from backfill.kinds import BACKFILL
from backfill.ui.documents import FOLDER, read_document
from backfill.ui.filling import make_page_environment
from backfill.ui.looks import KINDS
from backfill.ui.parts import PAGES, QUERY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from starlette.requests import Request
    from starlette.responses import Response

    from backfill.ui.looks import Looks
    from backfill.ui.parts import Asked, Page, Part
    from backfill.ui.shelf import Seen, Shelf

STATIC: Final = Path(__file__).parent / "static"
PATIENCE_SECONDS: Final = 60.0
"""How long who asks for JSON waits for it."""
SOON_SECONDS: Final = 0.4
"""Until a part is asked for again that is being read for the first time."""
AGAIN: Final = "Dynaurora-Again"
"""Header of a part: in how many seconds to ask for it again."""


class Pages:
    """Answers requests by what is on a shelf."""

    def __init__(self, looks: Looks, shelf: Shelf) -> None:
        self._looks = looks
        self._shelf = shelf
        self._environment = make_page_environment()
        self._context = click.get_current_context(silent=True)

    def make_app(self, place: str) -> Starlette:
        """Return the application, all of whose paths begin with a place."""
        self._environment.globals["place"] = place
        routes: list[Route | Mount] = []
        for page in PAGES:
            routes.append(Route(page.path, partial(self._answer_page, page)))
            for part in page.told:
                path = f"{page.path.rstrip('/')}/{part.name}.json"
                routes.append(Route(path, partial(self._answer_json, part)))
        routes.append(Route(f"/{FOLDER}{{path:path}}", self._answer_document))
        routes.append(Mount("/static", StaticFiles(directory=STATIC)))
        return Starlette(routes=[Mount(place, routes=routes)], exception_handlers={HTTPException: self._answer_problem})

    def _answer_page(self, page: Page, request: Request) -> Response:
        asked = read_asked(request, page.parts)
        if name := request.query_params.get("part"):
            part = page.find_part(name)
            if part is None:
                raise HTTPException(HTTPStatus.NOT_FOUND, f"The page has no part {name}.")
            return self._answer_part(part, asked)
        parts = [(part, link_part(request.url.path, part, asked), self._look(part, asked)) for part in page.parts]
        return self._fill(page.template, asked=asked, parts=parts, known=self._find_known(page.parts, asked))

    def _answer_part(self, part: Part, asked: Asked) -> Response:
        seen = self._look(part, asked)
        is_loading = seen.value is None and seen.problem is None
        again = SOON_SECONDS if is_loading else part.find_wait(seen)
        known = self._find_known((part,), asked)
        answer = self._fill("part.html", asked=asked, part=part, seen=seen, known=known)
        answer.headers[AGAIN] = f"{again:.1f}"
        return answer

    def _answer_json(self, part: Part, request: Request) -> Response:
        asked = read_asked(request, (part,))
        place, reading = part.name_place(asked), self._make_reading(part, asked)
        seen = self._shelf.wait(place, reading, part.find_wait, PATIENCE_SECONDS)
        if seen and not seen.problem:
            with self._naming_commands():
                return JSONResponse(part.tell(seen.value, asked))
        problem = seen.problem if seen else f"It was not read in {PATIENCE_SECONDS:.0f} s. Ask again."
        return JSONResponse({"error": problem}, HTTPStatus.SERVICE_UNAVAILABLE)

    def _answer_document(self, request: Request) -> Response:
        document = read_document(request.path_params["path"])
        if document is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such page of the documentation here.")
        return self._fill("document.html", document=document)

    def _answer_problem(self, _: Request, problem: Exception) -> Response:
        status = problem.status_code if isinstance(problem, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
        answer = self._fill("problem.html", problem=getattr(problem, "detail", "Something failed."))
        answer.status_code = status
        return answer

    def _look(self, part: Part, asked: Asked) -> Seen:
        return self._shelf.look(part.name_place(asked), self._make_reading(part, asked), part.find_wait)

    def _make_reading(self, part: Part, asked: Asked) -> Callable[[], Any]:
        return lambda: part.read(self._looks, asked)

    def _find_known(self, parts: Sequence[Part], asked: Asked) -> dict[str, Any]:
        """Return what is known of what is beside parts, by name; nothing of what was not read yet."""
        beside = (other for part in parts for other in part.beside)
        return {other.name: self._look(other, asked).value for other in beside}

    def _fill(self, template: str, **given: Any) -> HTMLResponse:
        with self._naming_commands():
            return HTMLResponse(self._environment.get_template(template).render(**given))

    def _naming_commands(self) -> AbstractContextManager[Any]:
        """Have commands be named with what was given to this one: requests are answered in threads of their own."""
        return self._context.scope(cleanup=False) if self._context else nullcontext()


def read_asked(request: Request, parts: Iterable[Part]) -> Asked:
    """Return what parts are asked about. Raises HTTPException where something is missing, or cannot be."""
    given = {name: request.query_params[name] for name in QUERY if name in request.query_params}
    asked = {**given, **request.path_params}
    if asked.get("kind", BACKFILL.name) not in KINDS:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"There are no runs of the kind {asked['kind']}.")
    for name in (name for part in parts for name in part.asks if name not in asked):
        raise HTTPException(HTTPStatus.NOT_FOUND, f"The address lacks {name}=.")
    return asked


def link_part(path: str, part: Part, asked: Asked) -> str:
    """Return where a part of a page is asked for."""
    given = {name: asked[name] for name in QUERY if name in asked}
    return f"{path}?{urlencode({'part': part.name, **given})}"
