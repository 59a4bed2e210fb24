"""Serving the status page: on 127.0.0.1 alone, until Ctrl-C."""

from __future__ import annotations

import errno
import os
import socket
import sys
import webbrowser
from contextlib import closing, contextmanager, suppress
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, NoReturn

import click
import uvicorn

from backfill.ui.guard import Guard
from backfill.ui.pages import Pages
from backfill.ui.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backfill.ui.looks import Looks

HOST: Final = "127.0.0.1"
GRACE_SECONDS: Final = 1
"""How long requests that are being answered are waited for in the end."""
OPENER: Final = '<!doctype html><title>dynaurora</title><meta http-equiv="refresh" content="0; url={}">'


class PageServer(uvicorn.Server):
    """Serves the page; `tell` is called with its address once it answers."""

    def __init__(self, looks: Looks, listener: socket.socket, tell: Callable[[str], None]) -> None:
        self.shelf = Shelf()
        guard = Guard(lambda place: Pages(looks, self.shelf).make_app(place), listener.getsockname()[1])
        self.url = guard.url
        self._tell = tell
        config = uvicorn.Config(
            guard,
            log_config=None,
            access_log=False,  # addresses have the token
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and tell where."""
        await super().startup(sockets)
        self._tell(self.url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; who waits for something that is being read waits no longer."""
        self.shelf.close()
        await super().shutdown(sockets)


def listen(port: int) -> socket.socket:
    """Return what listens to a port of this machine, 0 for a free one. Raises ClickException where it is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        reason = "something else listens there" if error.errno == errno.EADDRINUSE else error.strerror
        raise click.ClickException(
            f"Port {port} of this machine cannot be had: {reason}. Name another with --port, or leave it out for a "
            "free one."
        ) from error
    return listener


def serve(looks: Looks, port: int, tell: Callable[[str], None]) -> bool:
    """Serve the page until Ctrl-C; `tell` is called with its address once it answers.

    Return whether something is still being read. Raises ClickException where the port is taken.
    """
    with closing(listen(port)) as listener:
        server = PageServer(looks, listener, tell)
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    return server.shelf.is_reading


def leave() -> NoReturn:
    """End this process at once: Python would wait for the threads of what is being read, as long as AWS takes."""
    sys.stdout.flush()
    os._exit(0)


def has_display() -> bool:
    """Tell whether a browser may be opened: on Linux, where there is a display for it."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextmanager
def opening() -> Iterator[Callable[[str], None]]:
    """Yield what opens an address in the browser.

    By a file that only its owner may read: others see the arguments of programs, and the address has the token.
    """
    with TemporaryDirectory(prefix="dynaurora-") as folder:

        def open_address(url: str) -> None:
            file = Path(folder) / "open.html"
            file.write_text(OPENER.format(escape(url)), "utf-8")
            webbrowser.open(file.as_uri())

        yield open_address
