"""Times in the forms that people's libraries write, and what is refused with which reason."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.mappings.columns import parse_type
from dynaurora.mappings.misfits import Misfit
from dynaurora.mappings.times import MOMENT, REFUSE, read_moment, read_usual


def encode(kind, value, **options):
    return parse_type(kind, **options).encode(value)


def refusal(kind, value, **options):
    with pytest.raises(Misfit) as caught:
        encode(kind, value, **options)
    return caught.value.rule, str(caught.value)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("2024-01-01T10:00Z", "2024-01-01 10:00:00"),  # Java's OffsetDateTime of a full minute
        ("2024-01-01T10:00", "2024-01-01 10:00:00"),
        ("2024-01-01T10:00+02:00", "2024-01-01 08:00:00"),
        ("2024-01-01T10:00:01+01:00[Europe/Paris]", "2024-01-01 09:00:01"),  # Java's ZonedDateTime
        ("2024-01-01T10:00Z[UTC][u-ca=iso8601]", "2024-01-01 10:00:00"),
        ("2024-01-01T10:00:00+0000", "2024-01-01 10:00:00"),  # Python's %z, PHP's DATE_ISO8601
        ("2024-01-01 10:00:00 -0530", "2024-01-01 15:30:00"),  # Ruby's Time
        ("2024-01-01T10:00:00+00", "2024-01-01 10:00:00"),
        ("2024-01-01T10:00:00-00:00", "2024-01-01 10:00:00"),
        ("2024-01-01t10:00:00z", "2024-01-01 10:00:00"),
        ("20240101T100000Z", "2024-01-01 10:00:00"),
        ("20240101T1000", "2024-01-01 10:00:00"),
        ("20240101T10Z", "2024-01-01 10:00:00"),
        ("20240101T100000,25-0130", "2024-01-01 11:30:00.25"),
        ("2024-01-01T10:00:00,5Z", "2024-01-01 10:00:00.5"),
        ("2024-01-01T10:00,5Z", "2024-01-01 10:00:30"),
        ("2024-01-01T10.125Z", "2024-01-01 10:07:30"),
        ("2024-01-01T24:00:00Z", "2024-01-02 00:00:00"),
        ("2024-12-31T24:00+01:00", "2024-12-31 23:00:00"),
        ("2024-01-01T24", "2024-01-02 00:00:00"),
        ("2024-01-01T10:00:00.1234560000Z", "2024-01-01 10:00:00.123456"),
        ("2024-02-29", "2024-02-29 00:00:00"),
        ("20240229", "2024-02-29 00:00:00"),
        ("2024-W01-1", "2024-01-01 00:00:00"),
        ("2020W537T2300Z", "2021-01-03 23:00:00"),
        ("2026-W48-6T10:15:30+01", "2026-11-28 09:15:30"),
        ("2026-w48-6t10:15:30z", "2026-11-28 10:15:30"),
        ("2024-366", "2024-12-31 00:00:00"),
        ("2024060T10:00:00,5Z", "2024-02-29 10:00:00.5"),
        ("2024-001T24:00Z", "2024-01-02 00:00:00"),
        ("2024-01-01T10:00:00\N{MINUS SIGN}05:00", "2024-01-01 15:00:00"),
        ("20240101T100000\N{MINUS SIGN}0530", "2024-01-01 15:30:00"),
        ("9999-12-31T23:59:59.999999", "9999-12-31 23:59:59.999999"),
    ],
)
def test_the_forms_of_iso_8601_name_one_instant(text, field):
    assert encode("DATETIME(6)", text) == field
    if not field.startswith("9999"):
        assert encode("TIMESTAMP(6)", text) == field


@pytest.mark.parametrize(
    ("text", "rule", "problem"),
    [
        ("2024-01-01T10:00:00[Europe/Paris]", "format", "no offset"),
        ("2024-01-01T10:00:00Z[!Europe/Paris]", "format", "name of a zone"),
        ("2024-01-01T10:0:00Z", "format", "a day and then no time"),
        ("2024-01-01T1000:00Z", "format", "a day and then no time"),
        ("2024-0101T10:00Z", "format", "no date of ISO 8601"),
        ("2024-W01", "format", "names a week and no day"),
        ("2024-W01-0", "format", "no date of ISO 8601"),
        ("2024-W01-8", "format", "no date of ISO 8601"),
        ("2024-W01-1T10:00:00+1", "format", "a day and then no time"),
        ("2021-W53-1", "format", "no calendar"),
        ("9999-W52-7", "format", "no calendar"),
        ("2023-366", "format", "no calendar"),
        ("2024-000", "format", "no calendar"),
        ("+012024-01-01T00:00:00.000Z", "format", "a year with a sign"),
        ("-000044-03-15T12:00:00.000Z", "format", "a year with a sign"),
        ("2024-01", "format", "no day"),
        ("1704103200", "format", '"epoch"'),
        ("1704103200123", "format", '"epoch"'),
        ("Mon Jan 1 2024", "format", "no date of ISO 8601"),
        ("", "format", "an empty string"),
        ("2024-01-01T10:00:00Z\n", "format", "a day and then"),
        ("2024-01-01T25:00Z", "format", "no clock"),
        ("2024-01-01T24:01Z", "format", "no clock"),
        ("2024-01-01T24:00:00.1Z", "format", "no clock"),
        ("2024-01-01T10:60Z", "format", "no clock"),
        ("2024-01-01T10:00:61Z", "format", "no clock"),
        ("2024-01-01T10:00+24", "format", "offset"),
        ("2024-01-01T10:00+0160", "format", "offset"),
        ("2024-02-30T10:00Z", "format", "no calendar"),
        ("0000-01-01", "format", "no calendar"),
        ("2016-12-31T23:59:60Z", "format", "leap second"),
        ("2016-12-31T23:59:60+01:00", "format", "second 60"),
        ("9999-12-31T24:00", "format", "no calendar"),
        ("9999-12-31T23:59:59-01:00", "format", "no calendar"),
        ("2024-01-01T10:00:00.123456789Z", "range", "9 digits of a second, and the column takes 6"),
        ("٢٠٢٤-٠١-٠١", "format", "no date"),
        (True, "format", "a boolean"),
        (1704103200, "format", '"epoch"'),
    ],
)
def test_what_names_no_instant_is_refused_with_a_reason(text, rule, problem):
    found = refusal("DATETIME(6)", text)
    assert found[0] == rule
    assert problem in found[1]


@pytest.mark.parametrize(
    ("kind", "text", "truncated", "rounded"),
    [
        ("DATETIME(6)", "2024-01-01T10:00:00.1234567Z", "2024-01-01 10:00:00.123456", "2024-01-01 10:00:00.123457"),
        ("DATETIME(6)", "2024-01-01T10:00:00.123456499Z", "2024-01-01 10:00:00.123456", "2024-01-01 10:00:00.123456"),
        ("DATETIME(3)", "2024-01-01T10:00:00.0005", "2024-01-01 10:00:00", "2024-01-01 10:00:00.001"),
        ("DATETIME(3)", "2024-01-01T10:00:00.0995", "2024-01-01 10:00:00.099", "2024-01-01 10:00:00.1"),
        ("DATETIME", "2023-12-31T23:59:59.5Z", "2023-12-31 23:59:59", "2024-01-01 00:00:00"),
        ("DATETIME(6)", "2024-02-28T23:59:59.9999995", "2024-02-28 23:59:59.999999", "2024-02-29 00:00:00"),
        ("TIMESTAMP", "1970-01-01T00:00:01.4Z", "1970-01-01 00:00:01", "1970-01-01 00:00:01"),
        ("DATETIME(3)", "2016-12-31T23:59:60.25Z", "2016-12-31 23:59:59.999", "2017-01-01 00:00:00.25"),
        ("DATETIME(6)", "2024-01-01T10:00,0000001", "2024-01-01 10:00:00.000006", "2024-01-01 10:00:00.000006"),
        ("TIME(3)", "23:59:59.9996", "23:59:59.999", "24:00:00"),
    ],
)
def test_digits_beyond_the_columns_are_what_it_chooses(kind, text, truncated, rounded):
    assert encode(kind, text, digits="truncate") == truncated
    assert encode(kind, text, digits="round") == rounded
    if truncated.endswith("6") and "," in text:
        assert encode(kind, text) == truncated  # of a minute: six digits of a second
    else:
        assert refusal(kind, text)[0] == ("format" if ":60" in text else "range")


def test_rounding_does_not_leave_the_columns_range():
    assert refusal("DATETIME", "9999-12-31T23:59:59.5", digits="round")[0] == "range"
    assert refusal("TIMESTAMP", "2038-01-19T03:14:07.5Z", digits="round")[0] == "range"
    assert encode("TIMESTAMP", "1970-01-01T00:00:00.5Z", digits="round") == "1970-01-01 00:00:01"
    assert refusal("TIMESTAMP", "1970-01-01T00:00:00.5Z", digits="truncate")[0] == "range"


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2024-02-29", "2024-02-29"),
        ("20240229", "2024-02-29"),
        ("2024-02-29T00:00Z", "2024-02-29"),
        ("2024-02-28T24:00", "2024-02-29"),
        ("2024-02-29T02:00+02:00", "2024-02-29"),
    ],
)
def test_a_midnight_names_a_day(text, day):
    assert encode("DATE", text) == day


def test_a_time_of_day_is_cut_off_a_day_only_where_the_column_says_so():
    assert refusal("DATE", "2024-02-29T00:00:00.001")[0] == "range"
    assert refusal("DATE", "2024-02-29T00:00+02:00")[0] == "range"
    assert encode("DATE", "2024-02-29T23:59:59.9Z", digits="truncate") == "2024-02-29"
    assert encode("DATE", "2024-02-29T00:00+02:00", digits="truncate") == "2024-02-28"


@pytest.mark.parametrize(
    ("kind", "unit", "value", "field"),
    [
        ("DATETIME", "s", 1704103200, "2024-01-01 10:00:00"),
        ("DATETIME", "s", "1704103200", "2024-01-01 10:00:00"),
        ("DATETIME(3)", "s", Decimal("1704103200.5"), "2024-01-01 10:00:00.5"),
        ("DATETIME(3)", "ms", 1704103200123, "2024-01-01 10:00:00.123"),
        ("DATETIME", "ms", 1704103200000, "2024-01-01 10:00:00"),
        ("DATETIME(6)", "us", 1704103200123456, "2024-01-01 10:00:00.123456"),
        ("DATETIME(6)", "ns", 1704103200123456000, "2024-01-01 10:00:00.123456"),
        ("DATETIME(3)", "ms", -1, "1969-12-31 23:59:59.999"),
        ("DATETIME", "s", -30610224000, "1000-01-01 00:00:00"),
        ("DATETIME", "s", 253402300799, "9999-12-31 23:59:59"),
        ("TIMESTAMP", "s", 2147483647, "2038-01-19 03:14:07"),
        ("DATE", "s", 1704067200, "2024-01-01"),
        ("DATETIME", "s", 0, "1970-01-01 00:00:00"),
    ],
)
def test_numbers_are_times_where_the_column_says_their_unit(kind, unit, value, field):
    assert encode(kind, value, epoch=unit) == field


@pytest.mark.parametrize(
    ("kind", "unit", "value", "rule"),
    [
        ("DATETIME", "s", "2024-01-01T10:00:00Z", "type"),
        ("DATETIME", "s", "", "type"),
        ("DATETIME", "s", " 1704103200", "type"),
        ("DATETIME", "s", "1e9", "type"),
        ("DATETIME", "s", "1" * 5000, "type"),
        ("DATETIME", "s", True, "type"),
        ("DATETIME", "s", {}, "type"),
        ("DATETIME", "s", Decimal("0.5"), "range"),
        ("DATETIME", "ms", 1704103200123, "range"),
        ("DATETIME(6)", "ns", 1, "range"),
        ("DATETIME", "s", 1704103200123, "range"),  # milliseconds, in truth
        ("DATETIME", "s", -30610224001, "range"),
        ("DATETIME", "s", 253402300800, "range"),
        ("DATETIME", "s", 10**125, "range"),
        ("DATETIME", "s", Decimal("1E+999999999"), "range"),
        ("DATETIME(6)", "s", Decimal("1E-999999999"), "range"),
        ("TIMESTAMP", "s", 0, "range"),
        ("TIMESTAMP", "s", 2147483648, "range"),
        ("DATE", "s", 1704067201, "range"),
    ],
)
def test_numbers_that_are_no_times_are_refused(kind, unit, value, rule):
    assert refusal(kind, value, epoch=unit)[0] == rule


def test_digits_of_numbers_are_what_the_column_chooses():
    assert encode("DATETIME(6)", 1704103200123456789, epoch="ns", digits="truncate") == "2024-01-01 10:00:00.123456"
    assert encode("DATETIME(6)", 1704103200123456789, epoch="ns", digits="round") == "2024-01-01 10:00:00.123457"
    assert encode("DATETIME", -1, epoch="ms", digits="truncate") == "1969-12-31 23:59:59"
    assert encode("DATE", 1704110399, epoch="s", digits="truncate") == "2024-01-01"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("10:00", "10:00:00"),
        ("T10:00:01", "10:00:01"),
        ("235959", "23:59:59"),
        ("00:00:00.5", "00:00:00.5"),
        ("24:00", "24:00:00"),
    ],
)
def test_a_time_of_day(text, field):
    assert encode("TIME(3)", text) == field


@pytest.mark.parametrize(
    "text", ["10:00Z", "10:00+01:00", "24:01", "-01:00", "838:59:59", "2024-01-01T10:00", "23:59:60", 10]
)
def test_what_is_no_time_of_day_is_refused(text):
    assert refusal("TIME(3)", text)[0] == "format"


@pytest.mark.parametrize(
    ("kind", "options", "problem"),
    [
        ("VARCHAR(9)", {"digits": "round"}, "VARCHAR has no choice of digits"),
        ("DATE", {"digits": "round"}, "cannot be rounded"),
        ("DATETIME", {"digits": "cut"}, "refuse, truncate, round"),
        ("TIME", {"epoch": "s"}, "TIME has no epoch"),
        ("BIGINT", {"epoch": "s"}, "BIGINT has no epoch"),
        ("DATETIME", {"epoch": "m"}, "s, ms, us, ns"),
        ("ENUM('a')", {"epoch": "s"}, "ENUM has no epoch"),
    ],
)
def test_an_option_that_a_type_does_not_have_is_refused(kind, options, problem):
    with pytest.raises(ValueError, match=problem):
        parse_type(kind, **options)


OFFSETS = st.builds(
    timezone,
    st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59)).map(
        lambda offset: timedelta(minutes=offset // timedelta(minutes=1))
    ),
)
MOMENTS = st.datetimes(datetime(1002, 1, 1), datetime(9998, 12, 31), timezones=OFFSETS | st.just(UTC))


@given(MOMENTS, st.sampled_from("Tt "), st.sampled_from([":", ""]), st.sampled_from([":", ""]), st.sampled_from(".,"))
def test_every_spelling_of_an_instant_has_one_field(moment, between, colon, of_offset, point):
    offset = moment.strftime("%z")
    zone = f"{offset[:3]}{of_offset}{offset[3:]}"
    hyphen = "-" if colon else ""
    day = f"{moment.year:04}{hyphen}{moment.month:02}{hyphen}{moment.day:02}"
    clock = f"{moment.hour:02}{colon}{moment.minute:02}{colon}{moment.second:02}{point}{moment.microsecond:06}"
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    expected = utc.isoformat(" ", "seconds") + (f".{utc.microsecond:06}".rstrip("0") if utc.microsecond else "")
    assert encode("DATETIME(6)", f"{day}{between}{clock}{zone}") == expected
    since = utc - datetime(1970, 1, 1)
    assert encode("DATETIME(6)", since // timedelta(microseconds=1), epoch="us") == expected


@given(st.text("0123456789-:.,TtZz+ W[]/", max_size=40) | st.text(max_size=10))
def test_any_text_is_taken_or_refused(text):
    for kind in ("DATE", "DATETIME(6)", "TIMESTAMP", "TIME(6)"):
        for digits in ("refuse", "truncate", "round"):
            if (kind, digits) != ("DATE", "round"):
                try:
                    encode(kind, text, digits=digits)
                except Misfit:
                    continue


def read_slowly(text):
    try:
        return read_moment(MOMENT.fullmatch(text), REFUSE)
    except Misfit:
        return None


@given(
    st.tuples(st.integers(0, 9999), st.integers(0, 13), st.integers(0, 32)),
    st.tuples(st.integers(0, 25), st.integers(0, 61), st.integers(0, 61)),
    st.sampled_from(["", ".5", ".123456789", ".000"]),
    st.sampled_from(["", "Z", "+00:00", "-23:59", "+05:30", "+24:00", "-01:60"]),
    st.booleans(),
)
def test_the_usual_form_is_read_as_all_forms_are(day, clock, fraction, offset, has_clock):
    text = "{:04}-{:02}-{:02}".format(*day)
    if has_clock:
        text += "T{:02}:{:02}:{:02}".format(*clock) + fraction + offset
    usual = read_usual(text)
    assert usual is None or usual == read_slowly(text)
