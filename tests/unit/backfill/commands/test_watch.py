import pytest
from botocore.exceptions import NoCredentialsError

from backfill.commands import watch
from backfill.kinds import BACKFILL
from backfill.runs.find import FoundRun
from tests.support.backfill_factories import DEPLOYMENT, RUN


@pytest.mark.parametrize(
    ("end", "told"),
    [(KeyboardInterrupt(), "The run goes on; "), (NoCredentialsError(), "The run may go on without this; ")],
)
def test_whoever_sees_no_more_of_a_run_is_told_how_to_come_back(monkeypatch, capsys, end, told):
    def fail(*_):
        raise end

    monkeypatch.setattr(watch, "follow", fail)
    found = FoundRun(BACKFILL, DEPLOYMENT, RUN, None)
    if isinstance(end, KeyboardInterrupt):
        watch.watch_run(None, found, every=1, stack=None, as_json=True)
    else:
        with pytest.raises(NoCredentialsError):
            watch.watch_run(None, found, every=1, stack=None, as_json=True)
    assert capsys.readouterr() == ("", f"{told}come back with: dynaurora backfill watch {RUN}\n")
