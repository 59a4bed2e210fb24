from dynaurora.aurora.locks import name_lock


def test_a_lock_is_named_by_what_it_is_for():
    assert name_lock("Demo", "WebAnalytics", "5") == "dynaurora/Demo/WebAnalytics/5"


def test_a_lock_of_long_names_is_one_of_its_own_within_64_characters():
    names = {name_lock("D" * 64, "T" * 54 + end, slot) for end in "ab" for slot in ("1", "1000")}
    names.add(name_lock("D" * 64, "migrations"))
    assert len(names) == 5
    assert all(len(name) <= 64 for name in names)
