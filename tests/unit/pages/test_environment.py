import hashlib
import re
from base64 import b64encode

import pytest
from jinja2 import UndefinedError

from dynaurora.pages.environment import MOST_SHOWN, POLICY, make_environment, shorten

HOSTILE = "<script>alert(1)</script>\"'&\u202e\x1b[31m\x00\ud800"
PAGE = """{% extends "base.html" %}
{% block title %}{{ title }}{% endblock %}
{% block main %}<p title="{{ title }}">{{ title }}</p>{% endblock %}"""


@pytest.fixture
def environment(tmp_path):
    (tmp_path / "page.html").write_text(PAGE)
    (tmp_path / "page.txt").write_text("{{ title }}")
    return make_environment([tmp_path])


@pytest.mark.parametrize("name", ["page.html", "page.txt"])
def test_what_is_filled_in_is_escaped_whatever_the_template_forgets(environment, name):
    page = environment.get_template(name).render(title=HOSTILE)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;" in page
    assert r"\u202e\x1b[31m\x00\ud800" in page
    assert not set("\u202e\x1b\x00\ud800") & set(page)
    page.encode()


def test_a_name_that_nobody_gave_is_an_error(environment):
    with pytest.raises(UndefinedError, match="title"):
        environment.get_template("page.html").render()


def test_none_is_not_shown(environment):
    assert environment.from_string("[{{ value }}]").render(value=None) == "[]"


def test_a_page_loads_nothing_and_its_one_style_is_the_one_that_its_policy_names(environment):
    page = environment.get_template("page.html").render(title="A page")
    (style,) = re.findall("<style>(.*?)</style>", page, re.DOTALL)
    assert f"'sha256-{b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in POLICY
    assert POLICY.startswith("default-src 'none'")
    assert "style=" not in page
    assert not re.search(r"url\(|@import|https?://", style)
    assert re.findall('(?:src|href)="(.*?)"', page) == ["data:,", "#main"]


@pytest.mark.parametrize("value", ["a" * 400_000, "\u202e" * 400_000, "\x1b" * 190])
def test_a_long_value_is_cut_with_a_sign_and_its_length(value):
    shown = shorten(value)
    assert shown.startswith(("aaaa", r"\u202e", r"\x1b"))
    assert shown.endswith(f"… ({len(value):,} characters)")
    assert len(shown) < MOST_SHOWN + 40


def test_a_value_that_fits_is_whole():
    assert shorten("a\nb") == r"a\nb"
    assert shorten("x" * MOST_SHOWN) == "x" * MOST_SHOWN
