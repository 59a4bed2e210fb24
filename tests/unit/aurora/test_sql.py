import dataclasses

import pytest

from dynaurora.aurora import sql
from dynaurora.aurora.origins import Origin
from tests.support.factories import column, make_mapping

THINGS = make_mapping(
    column("day", "DATETIME(3)"), column("order", "INT", "n"), column("data", "BLOB"), column("note", "VARCHAR(9)")
)
TWO_KEYS = make_mapping(column("day", "VARBINARY(9)"), column("n", "INT"), sort_key="day")

WIDE_KEYS = make_mapping(column("day", "VARBINARY(2970)"), column("n", "INT"), sort_key="day")


@pytest.mark.parametrize(
    ("name", "quoted"),
    [("a", "`a`"), ("order", "`order`"), ("a`b", "`a``b`"), ("`; DROP TABLE x", "```; DROP TABLE x`")],
)
def test_identifiers_are_quoted(name, quoted):
    assert sql.quote(name) == quoted


@pytest.mark.parametrize(
    ("version", "collation"),
    [
        ("8.0.mysql_aurora.3.08.0", "utf8mb4_0900_bin"),
        ("8.4.3", "utf8mb4_0900_bin"),
        ("5.5.5-10.11.6-MariaDB-0+deb12u1", "utf8mb4_nopad_bin"),
        ("11.4.2-mariadb", "utf8mb4_nopad_bin"),
    ],
)
def test_keys_never_fold_case_nor_pad_spaces(version, collation):
    assert sql.key_collation(version) == collation


@pytest.mark.parametrize(
    ("version", "statement"),
    [
        ("8.0.mysql_aurora.3.10.6", ("ALTER USER USER() IDENTIFIED BY %s REPLACE %s", ("new", "current"))),
        ("8.4.6", ("ALTER USER USER() IDENTIFIED BY %s REPLACE %s", ("new", "current"))),
        ("10.11.6-MariaDB-0+deb12u1", ("SET PASSWORD = PASSWORD(%s)", ("new",))),
    ],
)
def test_a_password_of_ones_own_is_changed_as_the_server_lets_everybody(version, statement):
    assert sql.set_own_password(version, "new", "current") == statement


def test_the_replica_has_system_columns_keys_and_nullable_rest():
    assert (
        sql.create_replica(THINGS, "utf8mb4_0900_bin")
        == """CREATE TABLE IF NOT EXISTS `Demo`.`Things__replica` (
  `_deleted` BOOLEAN NOT NULL,
  `_version` DECIMAL(50,0) NOT NULL,
  `_mapping` INT UNSIGNED NOT NULL DEFAULT 0,
  `id` VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin NOT NULL,
  `day` DATETIME(3) NULL,
  `order` INT NULL,
  `data` BLOB NULL,
  `note` VARCHAR(9) NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 ROW_FORMAT=DYNAMIC"""
    )


def test_a_binary_key_has_no_collation():
    assert "`day` VARBINARY(9) NOT NULL" in sql.create_replica(TWO_KEYS, "utf8mb4_0900_bin")
    assert "PRIMARY KEY (`id`, `day`)" in sql.create_replica(TWO_KEYS, "utf8mb4_0900_bin")


def test_the_view_shows_the_mappings_columns_of_rows_that_exist():
    assert sql.create_view(THINGS) == (
        "CREATE OR REPLACE VIEW `Demo`.`Things` AS SELECT `id`, `day`, `order`, `data`, `note`"
        " FROM `Demo`.`Things__replica` WHERE NOT `_deleted`"
    )


def columns_of(statement):
    """Return the definitions of a table's columns, but for the generation, which only the replica has."""
    lines = [line.strip(" ,") for line in statement.splitlines() if line.startswith("  `")]
    return [line for line in lines if line != sql.GENERATION]


def test_the_staged_table_has_the_replicas_columns_in_the_order_of_the_merge():
    staged, replica = sql.create_staged(TWO_KEYS, "c"), sql.create_replica(TWO_KEYS, "c")
    assert staged.startswith("CREATE TEMPORARY TABLE `Demo`.`_dynaurora_staged`")
    assert columns_of(staged) == columns_of(replica)
    assert "\n  PRIMARY KEY (`id`, `day`, `_version` DESC)\n" in staged


def test_a_key_that_leaves_no_room_for_the_version_is_staged_by_number():
    widest = make_mapping(column("day", "VARBINARY(2969)"), column("n", "INT"), sort_key="day")  # id is of 80 bytes
    fits, too_wide = sql.create_staged(widest, "c"), sql.create_staged(WIDE_KEYS, "c")
    assert "`_version` DESC" in fits
    assert "`_version` DESC" not in too_wide
    number, *columns = columns_of(too_wide)
    assert number == "`_row` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY"
    assert columns == columns_of(sql.create_replica(WIDE_KEYS, "c"))


def test_a_permanent_table_numbers_its_rows():
    number, *columns = columns_of(sql.create_permanent(THINGS, "_dynaurora_staged_Things_1", "c"))
    assert number == "`_row` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY"
    assert columns == columns_of(sql.create_replica(THINGS, "c"))
    assert sql.create_staged(THINGS, "c", numbered=True).partition("(")[2].startswith(f"\n  {number},")


def test_a_permanent_table_is_named_by_its_target_and_slot_within_64_characters():
    assert sql.name_staged(THINGS, 12) == "_dynaurora_staged_Things_12"
    longest = [dataclasses.replace(THINGS, table="T" * 54 + end) for end in "ab"]
    names = [sql.name_staged(mapping, slot) for mapping in longest for slot in (1, 1000)]
    assert len(set(names)) == 4
    assert all(len(name) <= 64 and name.startswith("_dynaurora_staged_") for name in names)


def test_a_permanent_table_is_merged_and_emptied_as_the_temporary_one_is():
    table = sql.name_staged(THINGS, 1)
    named = f"`Demo`.`{table}`"
    assert sql.merge_staged(Origin(THINGS), table).replace(named, "`Demo`.`_dynaurora_staged`") == sql.merge_staged(
        Origin(THINGS)
    )
    assert sql.load_staged(THINGS, table).replace(named, "`Demo`.`_dynaurora_staged`") == sql.load_staged(THINGS)
    assert sql.empty_staged(THINGS, table) == f"DELETE FROM {named}"


def test_rows_of_new_keys_are_inserted_and_no_other_touched():
    head, _, updates = sql.insert_staged(Origin(THINGS)).partition("\nON DUPLICATE KEY UPDATE\n")
    assert sql.merge_staged(Origin(THINGS)).startswith(head)
    assert updates == "  `Things__replica`.`_version` = `Things__replica`.`_version`"


def test_what_a_replica_is_compared_with_is_made_as_the_replica_is():
    expected, replica = sql.create_expected(TWO_KEYS, "c"), sql.create_replica(TWO_KEYS, "c")
    assert expected.partition("(")[0] == "CREATE TEMPORARY TABLE `Demo`.`_dynaurora_expected` "
    assert expected.partition("(")[2] == replica.partition("(")[2]


def test_a_load_reads_the_batches_format_strictly_and_decodes_binary():
    assert sql.load_staged(THINGS) == (
        "LOAD DATA FROM S3 MANIFEST %s REPLACE INTO TABLE `Demo`.`_dynaurora_staged` CHARACTER SET utf8mb4"
        r" FIELDS TERMINATED BY ',' ESCAPED BY '\\' LINES TERMINATED BY '\n'"
        " (`_deleted`, `_version`, `id`, `day`, `order`, @field_3, `note`) SET `data` = FROM_BASE64(@field_3)"
    )


def test_a_load_never_ignores():
    words = sql.load_staged(THINGS).split()
    assert not {"IGNORE", "LOCAL"} & set(words)


WINS = (
    "`_dynaurora_staged`.`_version` > `Things__replica`.`_version`"
    " OR `_dynaurora_staged`.`_version` = `Things__replica`.`_version` AND `Things__replica`.`_mapping` < 3"
)


def updates_of(origin):
    return sql.merge_staged(origin).partition("ON DUPLICATE KEY UPDATE\n  ")[2].split(",\n  ")


def test_a_merge_updates_each_column_only_from_a_newer_row_and_the_version_last():
    values = {
        "n": "`_dynaurora_staged`.`n`",
        "_deleted": "`_dynaurora_staged`.`_deleted`",
        "gone": "NULL",
        "_mapping": "3",
    }
    *updates, version = updates_of(Origin(TWO_KEYS, 3, later=("gone",)))
    assert updates == [
        f"`Things__replica`.`{name}` = IF({WINS}, {value}, `Things__replica`.`{name}`)"
        for name, value in values.items()
    ]
    assert version == (
        "`Things__replica`.`_version` = GREATEST(`_dynaurora_staged`.`_version`, `Things__replica`.`_version`)"
    )


def test_the_time_of_a_change_is_assigned_before_what_it_depends_on():
    timed = make_mapping(column("n", "INT"), column("at", "BIGINT", "@changed_at_ms"), column("note", "VARCHAR(9)"))
    updates = updates_of(Origin(timed, 3, {"at": 1, "n": 2, "note": 0}))
    assert [update.partition(" = ")[0].split("`")[3] for update in updates] == [
        *("at", "n", "note", "_deleted", "_mapping", "_version")
    ]
    assert "`_mapping` BETWEEN 1 AND 3 AND" in updates[0]
    assert "(`Things__replica`.`_mapping` < 2 OR `Things__replica`.`n` <=> `_dynaurora_staged`.`n`)" in updates[0]
    assert "(CAST(`Things__replica`.`note` AS BINARY) <=> CAST(" in updates[0]


def test_a_load_of_a_part_names_its_label():
    assert r" LINES STARTING BY '\ZThings.0123456789abcdef,' TERMINATED BY '\n'" in sql.load_staged(
        THINGS, label="Things.0123456789abcdef"
    )


def test_a_merge_takes_its_locks_in_the_order_of_keys_and_the_newest_version_of_each_first():
    order = ", ".join(f"`_dynaurora_staged`.{name}" for name in ("`id`", "`day`", "`_version` DESC"))
    assert f"ORDER BY {order}\n" in sql.merge_staged(Origin(TWO_KEYS))


def test_the_staged_table_is_dropped_without_ending_the_transaction():
    assert sql.drop_staged(THINGS) == "DROP TEMPORARY TABLE IF EXISTS `Demo`.`_dynaurora_staged`"


def test_rows_are_read_in_the_order_of_their_keys():
    assert sql.select_rows(TWO_KEYS) == "SELECT `id`, `day`, `n` FROM `Demo`.`Things` ORDER BY `id`, `day`"
