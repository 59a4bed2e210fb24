"""Objects of any name and any contents: imported as what they say, or refused by an error with a name, whole."""

from functools import cache

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.aurora.connection import connect
from dynaurora.aws import sdk
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.import_batch import import_batch
from dynaurora.errors import TerminalError
from dynaurora.mappings.csv_format import encode_row
from tests.examples import examples
from tests.integration.targets import Target, row

pytestmark = pytest.mark.integration

EXAMPLES = examples(60)
LINE = encode_row(row("a", 7, 7))
SYNTAX = [b"\\", b",", b"\n", b"\\N", b"\\n", b"\0", b"\r\n", b"\t", b"'", b'"', b"\xff", b"\xed\xa0\x80"]
PIECES = st.sampled_from([*SYNTAX, b"1", b"-1", b"9" * 60, b"1e9", LINE])
BODIES = st.one_of(
    st.binary(max_size=60),
    st.lists(PIECES, max_size=12).map(b"".join),
    st.tuples(st.integers(0, len(LINE)), PIECES, st.integers(0, 3)).map(
        lambda cut: LINE[: cut[0]] + cut[1] + LINE[cut[0] + cut[2] :]
    ),
)


@pytest.fixture
def one_client(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have one client of S3 for the whole test, as a function has."""
    monkeypatch.setattr(sdk, "client", cache(lambda service: boto3.client(service, config=sdk.RETRIES)))


def test_any_contents(target: Target, one_client: None) -> None:
    with connect(target.endpoint, target.loader, load_from_s3=True) as aurora:

        @EXAMPLES
        @given(BODIES)
        def check(body: bytes) -> None:
            before = target.ledger()
            batch = target.write_bytes(body)
            try:
                result = import_batch(batch, target.mapping, aurora, S3Objects(), target.bucket, target.keep_refused)
            except TerminalError:
                assert target.ledger() == before
            else:
                assert 0 < result.rows_staged + result.rows_refused <= body.count(b"\n")

        check()


NAMES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30),
    st.text("'\"\\%s2F +&?#é🦄a/.=;`", min_size=1, max_size=12),
    st.sampled_from(["..", "../x", "a/../b", "./a", "a//b", "/a", "%2e%2e/x"]),
)


def test_any_name(target: Target, one_client: None) -> None:
    with connect(target.endpoint, target.loader, load_from_s3=True) as aurora:

        @EXAMPLES
        @given(NAMES)
        def check(name: str) -> None:
            batch = target.write_bytes(LINE, key=f"processed/mapping=web_analytics/{name}")
            result = import_batch(batch, target.mapping, aurora, S3Objects(), target.bucket, target.keep_refused)
            assert result.rows_staged == 1

        check()
