import re
from xml.etree import ElementTree as ET

import pytest

from dynaurora.pages.plots import draw_lines, draw_span, make_file

SVG = "{http://www.w3.org/2000/svg}"


def read(svg):
    return ET.fromstring(svg)


def find_bar(svg):
    bar = read(svg)[1]
    return float(bar.get("x")), float(bar.get("width"))


def test_lines_have_a_title_and_say_what_they_show():
    plot = read(draw_lines("Lag", "minutes", ["0", "1", "2"], {"reader": [1, 5, 3], "nothing": [None] * 3}))
    assert plot.find(f"{SVG}title").text == "Lag"
    description = plot.find(f"{SVG}desc").text
    assert description == "reader: from 1.00 to 3.00, between 1.00 and 5.00. nothing: no values."
    assert plot.get("role") == "img"


def test_lines_have_gaps_where_they_have_no_value():
    svg = draw_lines("Lag", "minutes", ["", "", "", ""], {"reader": [1, None, 2, 3]}, width=400)
    (path,) = re.findall('class="line c1" d="(.*?)"', svg)
    assert re.sub(r"[0-9. ]+", "", path) == "MhMhL"
    assert read(svg).get("viewBox") == "0 0 400 320"


def test_names_in_plots_are_escaped():
    svg = draw_lines("<b>\u202e", "x", ["<i>"], {'"><script>': [1.0]})
    assert not re.search("<b>|<i>|<script|\u202e", svg)
    assert read(svg).find(f"{SVG}title").text == r"<b>\u202e"


def test_a_plot_in_a_file_has_its_own_colours_light_and_dark():
    file = make_file(draw_lines("Costs", "changes", ["1", "2"], {"all": [1.0, 2.0]}))
    assert "prefers-color-scheme: dark" in read(file).find(f"{SVG}style").text


@pytest.mark.parametrize(
    ("span", "bar"),
    [
        ((0, 10, 10), (0, 1000)),
        ((5, 5, 10), (500, 500)),
        ((999_999, 1, 1_000_000), (990, 10)),
        ((3, 0, 10), (300, 0)),
        ((0, 0, 0), (0, 0)),
        ((0, 20, 10), (0, 1000)),
    ],
)
def test_a_bar_is_in_its_place_and_seen_unless_it_is_nothing(span, bar):
    assert find_bar(draw_span(*span, "good")) == bar
