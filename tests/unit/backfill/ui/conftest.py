"""A status page that is really served, and who asks it.

looks    what it looks at, to be changed
served   the server, with nothing on its shelf
visitor  somebody who has opened the address that was printed
"""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from backfill.ui.serving import PageServer, listen
from tests.support.looked_at import KnownLooks

PATIENCE_SECONDS = 30


@dataclass
class Answer:
    """What was answered."""

    status: int
    headers: dict[str, str]
    body: str


@dataclass
class Visitor:
    """Somebody who knows an address, and the cookie that comes with it."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return urlsplit(self.url).path.rstrip("/")

    @property
    def first_path(self) -> str:
        return self.url.removeprefix(f"http://{self.host}")

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def send(self, path: str, method: str = "GET", host: str | None = None, **headers: str) -> Answer:
        """Ask for a path as it is, by a host that may be another one's."""
        with closing(http.client.HTTPConnection(self.host, timeout=PATIENCE_SECONDS)) as connection:
            connection.putrequest(method, path, skip_host=True)
            for name, value in {"Host": self.host if host is None else host, **self.headers, **headers}.items():
                if value:
                    connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode())

    def ask(self, path: str, **headers: str) -> Answer:
        """Ask for a path below the place."""
        return self.send(f"{self.place}/{path}", **headers)

    def see(self, path: str, is_there: Callable[[str], bool] = lambda body: "Reading …" not in body) -> str:
        """Return a page once all that it shows was read."""
        for _ in range(PATIENCE_SECONDS * 50):
            answer = self.ask(path)
            if is_there(answer.body):
                assert answer.status == 200
                return answer.body
            threading.Event().wait(0.02)
        raise AssertionError(answer.body)


LOOKS = KnownLooks()


@pytest.fixture
def looks() -> KnownLooks:
    vars(LOOKS).update(vars(KnownLooks()))
    return LOOKS


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    begun = threading.Event()
    with closing(listen(0)) as listener:
        server = PageServer(LOOKS, listener, lambda _: begun.set())
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert begun.wait(PATIENCE_SECONDS)
            yield server
        finally:
            server.should_exit = True
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()


@pytest.fixture
def served(server: PageServer, looks: KnownLooks) -> PageServer:
    server.shelf._places.clear()
    return server


@pytest.fixture
def stranger(served: PageServer) -> Visitor:
    return Visitor(served.url)


@pytest.fixture
def visitor(stranger: Visitor) -> Visitor:
    answer = stranger.send(stranger.first_path)
    cookie = answer.headers["set-cookie"].partition(";")[0]
    return Visitor(stranger.url, {"Cookie": cookie})
