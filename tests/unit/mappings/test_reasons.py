from dynaurora.errors import Reason
from dynaurora.mappings.reasons import MAX_PATH, count_reasons


def test_reasons_are_counted_by_path_and_rule_most_frequent_first():
    reasons = [Reason("type", "a", "x"), Reason("json", "payload", "y"), Reason("json", "payload", "z")]
    counted = count_reasons([*reasons, Reason("record", "", "x")])
    assert list(counted.items()) == [("payload (json)", 2), ("a (type)", 1), ("record (record)", 1)]


def test_a_reason_is_counted_by_the_beginning_of_a_long_path():
    longest = "a" * 65_535
    counted = count_reasons(Reason("type", f"{longest}.{number}", "x") for number in range(3))
    assert counted == {f"{'a' * MAX_PATH} (type)": 3}
