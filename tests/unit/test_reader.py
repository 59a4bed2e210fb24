import pytest

from tests.reader import Reader, find_missing, read_blocks, read_headings

PAGE = """# A page

## First

```console
export WHAT=world
cd below
```

1. In a list:

   ```console
   echo "hello $WHAT" &&
     pwd
   ```

   ```text
   hello world
   …/below
   ```

```sh not run
exit 1
```

```console exit 3
exit 3
```

## Second

### Part

```console
# ## no heading
echo "$WHAT" >&2
```
"""


@pytest.fixture
def page(tmp_path):
    (tmp_path / "below").mkdir()
    path = tmp_path / "page.md"
    path.write_text(PAGE, "utf-8")
    return str(path)


@pytest.fixture
def reader(tmp_path):
    return Reader(tmp_path, tmp_path / "state")


def test_a_page_is_its_headings_and_its_commands(page):
    assert read_headings(page) == ["First", "Second"]
    first, listed, failing, last = read_blocks(page)
    assert (first.headings, first.expected, first.status) == (("First",), "", 0)
    assert (failing.commands, failing.expected, failing.status) == ("exit 3\n", "", 3)
    assert listed.commands == 'echo "hello $WHAT" &&\n  pwd\n'
    assert listed.expected == "hello world\n…/below\n"
    assert last.headings == ("Second", "Part")


def test_a_page_is_followed_in_one_shell(page, reader):
    with reader.follow(page) as walk:
        assert walk.through("First").startswith("hello world\n")
        reader.export(WHAT="every 'one'")
        assert walk.through("Part") == "every 'one'\n"


def test_a_page_that_is_left_early_fails(page, reader):
    with pytest.raises(AssertionError, match=r"never run: .*Part"), reader.follow(page) as walk:
        walk.through("First")
    with pytest.raises(AssertionError, match="no more commands under the heading 'Third'"), reader.follow(page) as walk:
        walk.through("Third")


@pytest.mark.parametrize(
    ("commands", "expected", "complaint"),
    [
        ("false\necho on", "", "ended with status 1"),
        ("false | cat", "", "ended with status 1"),
        ("echo $NOT_SET", "", "NOT_SET: unbound variable"),
        ("echo two\necho one", "one\ntwo", "should have printed\ntwo\n"),
    ],
)
def test_a_command_that_does_not_do_what_the_page_says_fails(tmp_path, reader, commands, expected, complaint):
    path = tmp_path / "wrong.md"
    path.write_text(f"## Do\n\n```console\n{commands}\n```\n\n```text\n{expected}\n```\n", "utf-8")
    with pytest.raises(AssertionError, match=complaint), reader.follow(str(path)) as walk:
        walk.through("Do")


@pytest.mark.parametrize(
    ("expected", "missing"),
    [
        ("", None),
        ("rows   2", None),
        ("state …\n…\nrows 2", None),
        ("state SUCC…D", None),
        ("rows 3", "rows 3"),
        ("rows 2\nstate SUCCEEDED", "state SUCCEEDED"),
        ("state", "state"),
    ],
)
def test_what_a_page_shows_is_found_line_by_line(expected, missing):
    assert find_missing(expected, "state     SUCCEEDED\nitems     3\nrows      2\n") == missing
