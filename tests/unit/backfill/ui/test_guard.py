"""Who is answered by the status page, and what every answer carries."""

import re

import pytest

from backfill.ui.guard import HEADERS


def test_the_address_that_is_printed_gives_a_cookie_and_goes_from_the_address(stranger):
    assert stranger.url.startswith("http://127.0.0.1:")
    answer = stranger.send(stranger.first_path)
    assert (answer.status, answer.headers["location"]) == (303, f"{stranger.place}/")
    cookie, *said = answer.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=lax", f"Path={stranger.place}/"} <= {*said}
    token = cookie.partition("=")[2]
    assert len(token) >= 43
    assert stranger.send(f"{stranger.place}/", Cookie=cookie).status == 200
    elsewhere = f"{stranger.place}/tables/orders?part=lag&token={token}"
    assert stranger.send(elsewhere).headers["location"] == f"{stranger.place}/tables/orders?part=lag"


@pytest.mark.parametrize(
    "cookie", ["", "dynaurora_token=", "dynaurora_token=x", "token={token}", "dynaurora_token={token}x"]
)
def test_nobody_is_answered_without_the_token(stranger, served, cookie):
    token = stranger.url.partition("token=")[2]
    for path in ("", "tables.json", "static/ui.js", "tables/orders?part=status", "nothing"):
        answer = stranger.ask(path, Cookie=cookie.format(token=token))
        assert answer.status == 403
        assert "dynaurora ui" in answer.body
        assert token not in answer.body


@pytest.mark.parametrize("token", ["", "x", "%C3%A9", "%ff", "%00"])
def test_a_wrong_token_in_the_address_is_refused_whatever_the_cookie_is(visitor, token):
    assert visitor.ask(f"?token={token}x").status == 403


@pytest.mark.parametrize("path", ["/", "/tables.json", "/x/", "/static/ui.js", "/%2e%2e/", "//"])
def test_paths_of_no_place_are_refused(visitor, path):
    assert visitor.send(path).status == 403


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:{port}.evil", "[::1]:{port}"],
)
def test_a_name_that_was_pointed_at_this_machine_is_no_host_of_the_page(visitor, host):
    port = visitor.host.partition(":")[2]
    answer = visitor.send(f"{visitor.place}/tables.json", host=host.format(port=port))
    assert answer.status in {400, 421}
    assert "web_analytics" not in answer.body


def test_localhost_is_a_host_of_the_page(visitor):
    port = visitor.host.partition(":")[2]
    assert visitor.send(f"{visitor.place}/", host=f"LOCALHOST:{port}").status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "X"])
def test_only_get_is_answered(visitor, looks, method):
    answer = visitor.send(f"{visitor.place}/tables.json", method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET")
    assert looks.asked == []


@pytest.mark.parametrize("path", ["", "tables.json", "static/ui.js", "nothing", "?token=x"])
def test_every_answer_has_safe_headers(visitor, path):
    answer = visitor.ask(path)
    assert {name: answer.headers[name.lower()] for name in HEADERS} == HEADERS
    assert "server" not in answer.headers
    assert not {name for name in answer.headers if name.startswith("access-control-")}


def test_refusals_have_them_too(stranger):
    for answer in (stranger.send("/"), stranger.send("/", host="evil.example"), stranger.send("/", method="POST")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_no_script_or_style_is_allowed_but_the_pages_own():
    rules = dict(rule.split(" ", 1) for rule in HEADERS["Content-Security-Policy"].split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == rules["frame-ancestors"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == "'self'"
    assert re.fullmatch(r"'self' 'sha256-[A-Za-z0-9+/]{43}='", rules["style-src"])


def test_each_server_has_secrets_of_its_own(looks):
    from backfill.ui.guard import Guard

    addresses = {Guard(lambda _: None, 80).url for _ in range(3)}
    assert len(addresses) == 3
