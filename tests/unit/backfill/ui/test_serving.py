"""The server's beginning and end, and how its address gets to a browser."""

import json
import signal
import socket
import stat
import subprocess
import sys
import webbrowser
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest

from backfill.ui import serving
from backfill.ui.serving import has_display, listen, opening
from tests.infrastructure.deployment import PROJECT

PATIENCE_SECONDS = 60
ENDLESS = """
import threading
from concurrent.futures import ThreadPoolExecutor
from backfill.ui.serving import leave, serve
from tests.support.looked_at import KnownLooks

class Endless(KnownLooks):
    def look_at_all(self):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: print("reading", flush=True) or threading.Event().wait()).result()

if serve(Endless(), 0, lambda url: print(url, flush=True)):
    leave()
"""


def test_a_port_that_is_taken_is_named_with_what_to_do():
    with closing(listen(0)) as taken:
        port = taken.getsockname()[1]
        taken.listen()
        with pytest.raises(click.ClickException, match=f"Port {port} .* something else listens there") as raised:
            listen(port)
    assert "--port" in raised.value.message


def test_it_listens_to_this_machine_alone():
    with closing(listen(0)) as listener:
        assert listener.family == socket.AF_INET
        assert listener.getsockname()[0] == "127.0.0.1"


def test_it_ends_at_once_though_something_is_still_being_read():
    command = [sys.executable, "-c", ENDLESS]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = urlsplit(process.stdout.readline().strip())
            with closing(socket.create_connection((url.hostname, url.port), PATIENCE_SECONDS)) as asking:
                cookie = f"dynaurora_token={url.query.partition('=')[2]}"
                head = (f"GET {url.path}tables.json HTTP/1.1", f"Host: {url.netloc}", f"Cookie: {cookie}", "", "")
                asking.sendall("\r\n".join(head).encode())
                assert process.stdout.readline() == "reading\n"
                process.send_signal(signal.SIGINT)
                answer = b"".join(iter(lambda: asking.recv(4096), b""))
            assert process.wait(PATIENCE_SECONDS) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_an_address_is_opened_by_a_file_that_others_cannot_read(monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    with opening() as open_address:
        open_address("http://127.0.0.1:1/place/?token=a&b")
        file = Path(unquote(urlsplit(opened[0]).path))
        assert "url=http://127.0.0.1:1/place/?token=a&amp;b" in file.read_text("utf-8")
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert "token" not in opened[0]
    assert not file.exists()


def test_no_browser_is_opened_where_there_is_no_display(monkeypatch):
    monkeypatch.setattr(serving.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not has_display()
    monkeypatch.setenv("DISPLAY", ":0")
    assert has_display()
