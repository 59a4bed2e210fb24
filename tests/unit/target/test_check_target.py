import pytest

from dynaurora.errors import ServerSettingsError
from dynaurora.target.check_target import check_settings


class Server:
    """What check_settings asks a server for."""

    def __init__(self, logs, binlog_format):
        self._logs = logs
        self._variables = [] if binlog_format is None else [("binlog_format", binlog_format)]

    def query(self, statement):
        return self._variables if "SHOW" in statement else [(self._logs,)]


@pytest.mark.parametrize(("logs", "binlog_format"), [(0, "STATEMENT"), (1, "ROW"), (1, "MIXED"), (1, None)], ids=str)
def test_a_binary_log_of_rows_or_none_is_well(logs, binlog_format):
    check_settings(Server(logs, binlog_format))


def test_a_binary_log_of_statements_is_told_with_what_to_do():
    with pytest.raises(ServerSettingsError, match=r"binlog_format is STATEMENT.*binlog_format to ROW"):
        check_settings(Server(1, "STATEMENT"))
