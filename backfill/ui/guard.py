"""Who may ask the status page, and what every answer of it carries.

It is served to one person on one machine, and shows keys of items. Others on the same machine reach the same port, and
so does every page that is open in the same browser. So each request has to name this host (a name of somebody else's
that was pointed at 127.0.0.1 is none), be a GET, and know two secrets: the *place* that all paths begin with, and the
token. The address that is printed has both; the token is then kept in a cookie and goes from the address. Cookies know
no ports, so it is of the place: a server on another port is never sent it.
"""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse

from dynaurora.pages.environment import STYLE_SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN: Final = "token"  # noqa: S105 (the name of a parameter)
COOKIE: Final = "dynaurora_token"
TOKEN_BYTES: Final = 32
PLACE_BYTES: Final = 8
HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; script-src 'self'; style-src 'self' {STYLE_SOURCE}; img-src data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NOT_THE_ADDRESS: Final = "This is not the address that `dynaurora ui` printed. Open that one, token and all."
NOT_THE_HOST: Final = "This host is not served here. Open the address that `dynaurora ui` printed."
READ_ONLY: Final = "This page is read-only: it answers GET alone."


class Guard:
    """Lets requests through that know its secrets, to the application that is made for its place."""

    def __init__(self, make_app: Callable[[str], ASGIApp], port: int) -> None:
        ends = (f":{port}", "") if port == 80 else (f":{port}",)  # browsers leave out the port of http
        self._hosts = {f"{host}{end}".encode() for host in ("127.0.0.1", "localhost") for end in ends}
        self._token = secrets.token_urlsafe(TOKEN_BYTES)
        self.place = f"/{secrets.token_urlsafe(PLACE_BYTES)}"
        """What all paths begin with."""
        self.url = f"http://127.0.0.1:{port}{self.place}/?{urlencode({TOKEN: self._token})}"
        """The address to open."""
        self._app = make_app(self.place)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have the application answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":  # nothing else is ever answered
            await (self._refuse(scope) or self._app)(scope, receive, _add_headers(send))

    def _refuse(self, scope: Scope) -> ASGIApp | None:
        """Return the answer to a request that is not let through; None for one that is."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return PlainTextResponse(NOT_THE_HOST, HTTPStatus.MISDIRECTED_REQUEST)
        if scope["method"] != "GET":
            return PlainTextResponse(READ_ONLY, HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET"})
        if not self._is_own_path(scope["path"]):
            return PlainTextResponse(NOT_THE_ADDRESS, HTTPStatus.FORBIDDEN)
        given = parse_qsl(scope["query_string"].decode("latin-1"))
        if tokens := [value for name, value in given if name == TOKEN]:
            is_known = self._is_token(tokens[0])
            return self._welcome(scope, given) if is_known else PlainTextResponse(NOT_THE_ADDRESS, HTTPStatus.FORBIDDEN)
        if not self._is_token(HTTPConnection(scope).cookies.get(COOKIE, "")):
            return PlainTextResponse(NOT_THE_ADDRESS, HTTPStatus.FORBIDDEN)
        return None

    def _is_own_path(self, path: str) -> bool:
        """Tell whether a path is below the place; in a time that says nothing of how much of it was right."""
        begun, _, _ = path.removeprefix("/").partition("/")
        return secrets.compare_digest(f"/{begun}".encode(), self.place.encode())

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode("utf-8", "surrogatepass"), self._token.encode())

    def _welcome(self, scope: Scope, given: list[tuple[str, str]]) -> RedirectResponse:
        """Return the way to the same page without the token, which the browser keeps from now on."""
        rest = urlencode([(name, value) for name, value in given if name != TOKEN])
        path = scope["raw_path"].decode("latin-1").partition("?")[0]
        answer = RedirectResponse(f"{path}?{rest}" if rest else path, HTTPStatus.SEE_OTHER)
        answer.set_cookie(COOKIE, self._token, path=f"{self.place}/", httponly=True, samesite="lax")
        return answer


def _add_headers(send: Send) -> Send:
    added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *added]
        await send(message)

    return send_with_headers
