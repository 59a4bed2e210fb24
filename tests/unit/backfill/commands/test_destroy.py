"""What `destroy` says that stays has every table in Aurora, also what rebuilds have left."""

import click
import pytest

from backfill.commands import destroy
from backfill.commands.destroy import describe_fate, list_left
from backfill.deployment.stacks import Stack
from tests.support.several_targets import several, target

MAPPING = several(target("Orders", "", {"name": "total", "type": "INT", "from": "total"}))
LEFT = [{"replica": f"{MAPPING.database}.Orders__replica_2", "rows": 1200, "bytes": 16384}]


def make_platform(**outputs):
    return Stack("shop", "arn:shop", "CREATE_COMPLETE", {}, outputs, {})


@pytest.fixture
def answer(monkeypatch):
    """Have the function change_mapping answer with tables, or fail; by its name."""

    def set_answer(left):
        class Function:
            def __init__(self, name):
                assert name == "shop-change-mapping"

            def list_replicas(self, _mapping, *, drop):
                assert drop is False
                if isinstance(left, Exception):
                    raise left
                return {"left": left, "wait_seconds": 0}

        monkeypatch.setattr(destroy, "ByFunction", Function)

    return set_answer


def test_what_a_rebuild_left_is_named_with_the_statement_that_drops_it(answer):
    answer(LEFT)
    left = list_left(make_platform(ChangeMappingFunctionName="shop-change-mapping"), MAPPING)
    fate = describe_fate(MAPPING, "shop-app", "landing", left, created=False, delete_data=False)
    assert f"{MAPPING.database}.Orders__replica_2 in Aurora, of a rebuild, about 1,200 rows" in fate["stays"]
    assert fate["statements"] == [
        f"DROP VIEW IF EXISTS `{MAPPING.database}`.`Orders`;",
        f"DROP TABLE IF EXISTS `{MAPPING.database}`.`Orders__replica`;",
        f"DROP TABLE IF EXISTS `{MAPPING.database}`.`Orders__replica_2`;",
    ]


def test_a_database_that_cannot_be_asked_is_told_and_stops_nothing(answer, capsys):
    answer(click.ClickException("ConnectionLostError: Aurora is away"))
    assert list_left(make_platform(ChangeMappingFunctionName="shop-change-mapping"), MAPPING) == []
    assert "Which tables rebuilds have left in Aurora is not known: ConnectionLostError" in capsys.readouterr().err
    assert list_left(make_platform(), MAPPING) == list_left(None, MAPPING) == []
