"""Files and directories that nobody else can read."""

from local.files import make_private, write_private


def test_a_private_directory_lets_nobody_else_in(tmp_path):
    path = tmp_path / "above" / ".local"
    make_private(path)
    assert path.stat().st_mode & 0o777 == 0o700


def test_one_that_was_open_is_closed(tmp_path):
    tmp_path.chmod(0o755)
    make_private(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_private_file_is_its_owners(tmp_path):
    write_private(tmp_path / "secret", "x")
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
