"""Loads from S3 as text. Nothing here needs a server."""

from pathlib import Path

import pytest

from local.aurora.statements import RowEnds, Source, is_load_from_s3, parse_load

URL = "s3://bucket/key"


@pytest.mark.parametrize(
    "text",
    [
        "LOAD DATA FROM S3 's3://b/k' INTO TABLE t",
        "load data from s3 's3://b/k' into table t",
        " \r\n\tLOAD\nDATA\tFROM  S3 FILE 's3://b/k' INTO TABLE t",
        "/* batch 7 */ LOAD DATA FROM S3 's3://b/k' INTO TABLE t",
        "-- batch 7\nLOAD DATA FROM S3 's3://b/k' INTO TABLE t",
        "# batch 7\nLOAD DATA FROM S3 's3://b/k' INTO TABLE t",
        "LOAD/**/DATA/* a */FROM -- b\n S3'url' INTO TABLE t",
    ],
)
def test_loads_are_recognised_however_they_are_written(text):
    assert is_load_from_s3(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT 'LOAD DATA FROM S3'",
        "LOAD DATA INFILE 'x' INTO TABLE t",
        "LOAD DATA LOCAL INFILE 'x' INTO TABLE t",
        "LOAD XML FROM S3 's3://b/k' INTO TABLE t",
        "LOADDATA FROM S3 'x'",
        "LOAD DATA FROM S3X 'x'",
        "/*! LOAD */ DATA FROM S3 'x'",
        "--LOAD DATA FROM S3 'x'",
        "SELECT 1; LOAD DATA FROM S3 'x' INTO TABLE t",
    ],
)
def test_other_statements_are_left_alone(text):
    assert not is_load_from_s3(text.encode())


def test_many_comments_are_read_in_one_pass():
    assert not is_load_from_s3(b"/* a */" * 500 + b"SELECT 1")


@pytest.mark.parametrize(
    ("text", "source"),
    [("", Source.FILE), ("FILE", Source.FILE), ("prefix", Source.PREFIX), ("/* all */ Manifest", Source.MANIFEST)],
)
def test_a_load_names_one_object_unless_told(text, source):
    statement = parse_load(f"LOAD DATA FROM S3 {text} '{URL}' INTO TABLE t".encode())
    assert (statement.source, statement.url, statement.clauses) == (source, URL, b"INTO TABLE t")


@pytest.mark.parametrize(
    ("literal", "url"),
    [
        ('"s3://b/k"', "s3://b/k"),
        ("'s3-eu-west-1://b/k'", "s3-eu-west-1://b/k"),
        ("'s3://b/it''s'", "s3://b/it's"),
        (r"'s3://b/it\'s'", "s3://b/it's"),
        (r'"s3://b/a\\b\"c"', r's3://b/a\b"c'),
        ("'s3://b/día'", "s3://b/día"),
    ],
)
def test_the_url_is_a_string_of_sql(literal, url):
    assert parse_load(f"LOAD DATA FROM S3 {literal} INTO TABLE t".encode()).url == url


@pytest.mark.parametrize("rest", ["INTO TABLE t", "`s3://b/k` INTO TABLE t", "FILE PREFIX 's3://b/k' INTO TABLE t", ""])
def test_a_load_without_a_url_is_refused_with_what_stands_there(rest):
    with pytest.raises(ValueError, match=rest[:10] or "^$"):
        parse_load(f"LOAD DATA FROM S3 {rest}".encode())


def test_everything_behind_the_url_is_kept_as_written():
    clauses = r"IGNORE INTO TABLE `t` CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' (a, @b) SET c = UNHEX(@b) -- é"
    statement = parse_load(f"LOAD DATA FROM S3 '{URL}' {clauses}".encode("latin-1"))
    expected = f"LOAD DATA INFILE '/tmp/it''s' {clauses}".encode("latin-1")
    assert statement.read_from(Path("/tmp/it's")) == expected


@pytest.mark.parametrize(
    ("clauses", "terminator", "escape"),
    [
        ("INTO TABLE t", b"\n", b"\\"),
        (r"INTO TABLE t FIELDS TERMINATED BY ',' ESCAPED BY '\\' LINES TERMINATED BY '\n'", b"\n", b"\\"),
        (r"INTO TABLE t LINES STARTING BY 'x' TERMINATED BY '\r\n'", b"\r\n", b"\\"),
        ("INTO TABLE t COLUMNS TERMINATED BY '|' ESCAPED BY ''", b"\n", b""),
        ("INTO TABLE t fields escaped by '^' lines terminated by ';'", b";", b"^"),
        ("INTO TABLE `LINES` (a) SET a = 'LINES TERMINATED BY ;'", b"\n", b"\\"),
    ],
)
def test_row_ends_follow_the_clauses(clauses, terminator, escape):
    statement = parse_load(f"LOAD DATA FROM S3 '{URL}' {clauses}".encode())
    assert statement.row_ends == RowEnds(terminator, escape)


@pytest.mark.parametrize(
    ("tail", "added"),
    [
        (b"", b""),
        (b"1,a\n", b""),
        (b"1,a", b"\n"),
        (b"1,a\\\n", b"\n"),
        (b"1,a\\\\\n", b""),
        (b"1,a\\", b"\\\n"),
        (b"1,a\\\\", b"\n"),
    ],
)
def test_the_last_row_of_a_file_is_completed(tail, added):
    assert RowEnds().complete(tail) == added


def test_rows_without_terminator_are_left_alone():
    assert RowEnds(terminator=b"").complete(b"1,a") == b""
