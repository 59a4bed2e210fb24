"""LOAD DATA FROM S3 through the gateway, as Aurora MySQL does it."""

import concurrent.futures
import json
import re

import pymysql
import pytest

AS_WRITTEN = r"FIELDS TERMINATED BY ',' ESCAPED BY '\\' LINES TERMINATED BY '\n'"


@pytest.fixture
def put(s3, bucket):
    """Put an object; its URL."""

    def put_object(key, content):
        s3.put_object(Bucket=bucket, Key=key, Body=content if isinstance(content, bytes) else content.encode())
        return f"s3://{bucket}/{key}"

    return put_object


@pytest.fixture
def put_manifest(put):
    """Put a manifest of the given entries; its URL."""

    def put_object(*entries, key="batch.manifest"):
        return put(key, json.dumps({"entries": list(entries)}))

    return put_object


@pytest.fixture
def load(session):
    """Load into a table; how many rows the server says it loaded."""

    def execute(url, table, clauses=AS_WRITTEN, source="", connection=session):
        with connection.cursor() as cursor:
            return cursor.execute(f"LOAD DATA FROM S3 {source} '{url}' INTO TABLE {table} {clauses}")

    return execute


@pytest.fixture
def refusal(load):
    """Load what cannot be loaded; the error's number (PyMySQL reads it as signed) and message."""

    def execute(*arguments, **options):
        with pytest.raises(pymysql.MySQLError) as error:
            load(*arguments, **options)
        number, message = error.value.args
        return number % 65536, message

    return execute


@pytest.fixture
def table(create_table):
    """An empty table of a number and a text."""
    return create_table("a INT, b VARCHAR(20)")


@pytest.fixture
def no_files_left(stack):
    yield
    assert list(stack.server.files.iterdir()) == []


pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("no_files_left")]


@pytest.mark.parametrize("source", ["", "FILE"])
def test_one_object(put, load, table, rows_of, source):
    assert load(put("data.csv", "1,x\n2,y\n"), table, source=source) == 2
    assert rows_of(table) == [(1, "x"), (2, "y")]


def test_the_bucket_s_region_may_be_named(put, load, table):
    assert load(put("data.csv", "1,x\n").replace("s3:", "s3-us-east-1:"), table) == 1


@pytest.mark.parametrize("key", ["with space.csv", "día/ключ.csv", "a+b=c&d%20.csv", "it''s.csv"])
def test_keys_of_all_kinds(put, load, table, s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key.replace("''", "'"), Body=b"1,x\n")
    assert load(f"s3://{bucket}/{key}", table) == 1


def test_all_objects_of_a_prefix_in_the_order_of_their_keys(put, load, session, run):
    run(session, "CREATE TEMPORARY TABLE numbered (n INT AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(20))")
    for number in (3, 1, 2):
        put(f"part/{number}.csv", f"{number},x\n")
    url = put("part/", "")
    put("other/9.csv", "9,x\n")
    assert load(url, "numbered", f"{AS_WRITTEN} (a, b)", source="PREFIX") == 3
    assert run(session, "SELECT a FROM numbered ORDER BY n") == [(1,), (2,), (3,)]


def test_a_header_is_skipped_in_the_first_object_only(put, load, table, rows_of):
    put("part/1.csv", "a,b\n1,x\n")
    put("part/2.csv", "2,y\n3,z\n")
    url = put("part/", "")
    assert load(url, table, f"{AS_WRITTEN} IGNORE 1 LINES", source="PREFIX") == 3
    assert rows_of(table) == [(1, "x"), (2, "y"), (3, "z")]


def test_the_objects_of_a_manifest(put, put_manifest, load, table, rows_of):
    mandatory = {"url": put("1.csv", "1,x\n2,y"), "mandatory": True}  # its last row ends with the file
    empty = {"url": put("2.csv", "")}
    optional = {"url": put("3.csv", "3,z\n"), "mandatory": False}
    missing = {"url": put("4.csv", "").replace("4.csv", "5.csv")}
    assert load(put_manifest(mandatory, empty, optional, missing), table, source="MANIFEST") == 3
    assert rows_of(table) == [(1, "x"), (2, "y"), (3, "z")]


def test_a_manifest_s_missing_mandatory_object_fails_the_load(put, put_manifest, refusal, table, rows_of):
    entries = [{"url": put("1.csv", "1,x\n")}, {"url": put("2.csv", "")[:-5] + "none.csv", "mandatory": True}]
    number, message = refusal(put_manifest(*entries), table, source="MANIFEST")
    assert (number, message.partition(":")[0]) == (63985, "S3 API returned error")
    assert "NoSuchKey" in message
    assert rows_of(table) == []


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        (lambda url: [{"url": url}, {"url": url}], "unique"),
        (lambda url: [{"url": url, "mandatory": True, "size": 4}], "additional properties"),
    ],
)
def test_a_manifest_that_breaks_a_rule_fails_the_load(put, put_manifest, refusal, table, entries, reason):
    manifest = put_manifest(*entries(put("1.csv", "1,x\n")))
    number, message = refusal(manifest, table, source="MANIFEST")
    assert number == 63985
    assert reason in message


def test_nothing_found_fails_the_load(put, put_manifest, refusal, bucket, table):
    manifest = put_manifest({"url": f"s3://{bucket}/none.csv"})
    assert refusal(manifest, table, source="MANIFEST")[0] == 63985
    assert refusal(f"s3://{bucket}/none/", table, source="PREFIX")[0] == 63985


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3://{bucket}/none.csv", "NoSuchKey"),
        ("s3://no-such-bucket-{bucket}/data.csv", "NoSuchBucket"),
        ("s3://{bucket}", "Invalid S3 URI"),
        ("https://{bucket}/data.csv", "Invalid S3 URI"),
    ],
)
def test_what_s3_does_not_have_fails_the_load(refusal, table, session, run, bucket, url, reason):
    number, message = refusal(url.format(bucket=bucket), table)
    assert number == 63985
    assert message.startswith("S3 API returned error: ")
    assert reason in message
    assert run(session, "SELECT 1") == [(1,)]  # the session goes on


def test_a_load_without_url_is_a_syntax_error(session, run, table):
    with pytest.raises(pymysql.err.ProgrammingError) as error:
        run(session, f"LOAD DATA FROM S3 INTO TABLE {table}")
    assert error.value.args[0] == 1064


def test_a_load_needs_the_role_active(put, load, refusal, open_session, run, table):
    url, roleless = put("data.csv", "1,x\n"), open_session(role=False)
    expected = "Access denied; you need (at least one of) the LOAD FROM S3 privilege(s) for this operation"
    assert refusal(url, table, connection=roleless) == (1227, expected)
    run(roleless, "SET ROLE AWS_LOAD_S3_ACCESS")
    assert load(url, table, connection=roleless) == 1
    run(roleless, "SET ROLE NONE")
    assert refusal(url, table, connection=roleless)[0] == 1227
    assert refusal(url + ".missing", table, connection=roleless)[0] == 1227  # asked before S3 is


def test_the_administrator_s_role_is_active_from_the_start(put, load, aurora, table):
    with aurora.connect(aurora.administrator) as connection:
        assert load(put("data.csv", "1,x\n"), table, connection=connection) == 1


def test_columns_variables_and_expressions(put, load, session, run):
    run(session, "CREATE TEMPORARY TABLE staged (version DECIMAL(50,0), name VARCHAR(20), raw VARBINARY(20))")
    version = 10**49 + 7
    url = put("data.csv", f"{version},AP8B,x\n")
    clauses = f"CHARACTER SET utf8mb4 {AS_WRITTEN} (version, @raw, name) SET raw = FROM_BASE64(@raw)"
    assert load(url, "staged", clauses) == 1
    assert run(session, "SELECT * FROM staged") == [(version, "x", b"\x00\xff\x01")]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, rb"\N"),
        ("", b""),
        (r"\N", rb"\\N"),
        ("N", b"N"),
        ('a,"b"\'c', b'a\\,"b"\'c'),
        ("\\", b"\\\\"),
        ("line\nfeed\rreturn\ttab\0nul", b"line\\\nfeed\\rreturn\\ttab\\0nul"),
        ("línea 雪 😀", "línea 雪 😀".encode()),
        ("trailing  ", b"trailing  "),
    ],
)
def test_values_arrive_as_they_were(put, load, session, run, value, written):
    run(session, "CREATE TEMPORARY TABLE texts (a INT, b VARCHAR(40), c INT) CHARACTER SET utf8mb4")
    url = put("data.csv", b"1," + written + b",2\n")
    assert load(url, "texts", f"CHARACTER SET utf8mb4 {AS_WRITTEN}") == 1
    assert run(session, "SELECT * FROM texts") == [(1, value, 2)]


def test_an_empty_object_is_no_rows(put, load, table):
    assert load(put("empty.csv", ""), table) == 0


@pytest.mark.parametrize(
    ("line", "number", "message"),
    [
        ("3\n", 1261, "Row 2 doesn't contain data for all columns"),
        ("3,z,more\n", 1262, "Row 2 was truncated; it contained more data than there were input columns"),
        ("three,z\n", 1366, r"Incorrect integer value: 'three' for column (`Demo`\.`\w+`\.)?['`]a['`] at row 2"),
        ("3,%s\n" % ("z" * 21), 1406, "Data too long for column 'b' at row 2"),
        ("99999999999,z\n", 1264, "Out of range value for column 'a' at row 2"),
    ],
)
def test_a_malformed_row_fails_the_load(put, refusal, table, rows_of, line, number, message):
    url = put("data.csv", "1,x\n" + line)
    refused, text = refusal(url, table)
    assert refused == number
    assert re.fullmatch(message, text)
    assert rows_of(table) == []


def test_a_row_of_another_character_set_fails_the_load(put, refusal, table):
    number, _ = refusal(put("data.csv", b"1,\xff\xfe\n"), table, f"CHARACTER SET utf8mb4 {AS_WRITTEN}")
    assert number in (1300, 1366)


def test_counts_and_warnings_are_the_server_s(put, session, run, table):
    url = put("data.csv", "1,x\n2\n")
    run(session, f"LOAD DATA FROM S3 '{url}' IGNORE INTO TABLE {table} {AS_WRITTEN}")
    assert b"Records: 2  Deleted: 0  Skipped: 0  Warnings: 1" in session._result.message
    assert run(session, "SHOW WARNINGS") == [("Warning", 1261, "Row 2 doesn't contain data for all columns")]


def test_a_rolled_back_transaction_leaves_nothing(put, load, session, run, create_table, rows_of):
    kept = create_table("a INT, b VARCHAR(20)")
    run(session, "CREATE TEMPORARY TABLE staged (a INT, b VARCHAR(20)) ENGINE=InnoDB")
    session.begin()
    run(session, f"INSERT INTO {kept} VALUES (0, 'before')")
    assert load(put("data.csv", "1,x\n2,y\n"), "staged") == 2
    assert load(put("data.csv", "1,x\n2,y\n"), kept) == 2
    assert len(run(session, f"SELECT * FROM {kept}")) == 3
    assert rows_of(kept) == []
    session.rollback()
    assert run(session, f"SELECT * FROM {kept}") == []
    assert run(session, "SELECT * FROM staged") == []


def test_a_failed_load_keeps_the_transaction(put, load, refusal, session, run, create_table, rows_of):
    table = create_table("a INT, b VARCHAR(20)")
    session.begin()
    load(put("good.csv", "1,x\n"), table)
    refusal(put("bad.csv", "2\n"), table)
    refusal(put("bad.csv", "2\n") + ".missing", table)
    session.commit()
    assert rows_of(table) == [(1, "x")]


def test_a_duplicate_key_fails_the_load(put, refusal, create_table, rows_of):
    table = create_table("a INT PRIMARY KEY, b VARCHAR(20)")
    assert refusal(put("data.csv", "1,x\n1,y\n"), table)[0] == 1062
    assert rows_of(table) == []


def test_two_hundred_thousand_rows(put, load, session, run):
    run(session, "CREATE TEMPORARY TABLE many (a INT PRIMARY KEY, b VARCHAR(60))")
    url = put("many.csv", "".join(f"{number},{'x' * 50}\n" for number in range(200_000)))
    assert load(url, "many") == 200_000
    assert run(session, "SELECT COUNT(*), SUM(a) FROM many") == [(200_000, 200_000 * 199_999 // 2)]


def test_loads_at_once(put, load, open_session, run):
    urls = [put(f"{number}.csv", f"{number},x\n" * 20_000) for number in range(4)]
    sessions = [open_session() for _ in urls]
    for connection in sessions:
        run(connection, "CREATE TEMPORARY TABLE staged (a INT, b VARCHAR(20))")
    with concurrent.futures.ThreadPoolExecutor(len(urls)) as threads:
        counts = list(threads.map(lambda url, connection: load(url, "staged", connection=connection), urls, sessions))
    assert counts == [20_000] * 4
    for number, connection in enumerate(sessions):
        assert run(connection, "SELECT MIN(a), MAX(a) FROM staged") == [(number, number)]


def test_a_load_of_more_than_one_packet(put, load, table):
    comment = "/* " + "x" * (17 << 20) + " */"
    assert load(put("data.csv", "1,x\n"), table, f"{AS_WRITTEN} {comment}") == 1
