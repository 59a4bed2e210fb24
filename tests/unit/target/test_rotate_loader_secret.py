from dynaurora.target.rotate_loader_secret import CHARACTERS, LENGTH, make_password


def test_a_password_has_some_of_each_kind_and_nothing_that_needs_quoting():
    passwords = {make_password() for _ in range(200)}
    assert len(passwords) == 200
    for password in passwords:
        assert len(password) == LENGTH
        assert all(set(kind) & set(password) for kind in CHARACTERS)
        assert not set(password) & set("'\"\\`/% ")
