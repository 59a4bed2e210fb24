"""A project: the user's own folder, with `dynaurora.toml` and one mapping for each replicated table.

    dynaurora.toml          the platform's stack, region and profile; defaults of options
    mappings/<name>.json    the mappings
    .local/                 what the local AWS of this project keeps while it runs

It is found from the working directory upwards, or named by --project or DYNAURORA_PROJECT. In a clone of the repository
the example's project stands in where there is none.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from backfill.terminal.console import WrongUseError
from dynaurora.errors import UnknownMappingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dynaurora.mappings.mapping import Mapping

FILE: Final = "dynaurora.toml"
CLONE: Final = Path(__file__).resolve().parents[1]
EXAMPLE: Final = CLONE / "examples" / "web_analytics"
"""The project of the example, in a clone and in an installation."""
VARIABLE: Final = "DYNAURORA_PROJECT"
STATE_VARIABLE: Final = "DYNAURORA_LOCAL_DIRECTORY"
STACK: Final = "dynaurora"

KEYS: Final[dict[str, dict[str, type]]] = {
    "platform": {"stack": str, "region": str, "profile": str, "parameters": dict},
    "replications": {},
    "defaults": {"engine": str, "every": float, "max_concurrency": int},
}
"""The tables of a `dynaurora.toml`, and the keys and types in each. Those of `defaults` are names of options, those of
`replications` names of mappings; `parameters`, and what a replication has, are parameters of templates."""
_META: Final = "dynaurora.project"


@dataclass(frozen=True)
class Project:
    """A folder with a `dynaurora.toml`."""

    root: Path
    stack: str = STACK
    """The stack of the platform."""
    region: str | None = None
    profile: str | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    """Of the platform's stack."""
    replications: dict[str, dict[str, str]] = field(default_factory=dict)
    """Parameters of replications' stacks, by the mapping's name."""
    defaults: dict[str, Any] = field(default_factory=dict)
    """By the names of options."""
    is_stand_in: bool = False
    """Whether it is the example, of a clone, and nobody asked for it."""

    @property
    def mappings(self) -> Path:
        """The folder of its mappings."""
        return self.root / "mappings"

    @property
    def state_directory(self) -> Path:
        """Where its local AWS keeps files; the one that stands in keeps them in the clone."""
        if given := os.environ.get(STATE_VARIABLE):
            return Path(given).absolute()
        return (CLONE if self.is_stand_in else self.root) / ".local"

    def mapping_names(self) -> list[str]:
        """Return the names of its mappings."""
        return sorted(path.stem for path in self.mappings.glob("*.json"))

    def load_mapping(self, name: str) -> Mapping:
        """Return its mapping of a name. Raises UnknownMappingError, or InvalidMappingError where it does not hold."""
        from dynaurora.mappings.mapping import NAME, load_mapping_file  # takes a second

        names = self.mapping_names()
        if not NAME.fullmatch(name) or name not in names:
            there = f"there are: {', '.join(names)}" if names else "there is none yet"
            raise UnknownMappingError(f"No mapping is named {name!r} in {self.mappings}; {there}.")
        return load_mapping_file(self.mappings / f"{name}.json")

    def load_mappings(self, names: Iterable[str] = ()) -> list[Mapping]:
        """Return its mappings of these names, or all.

        Raises WrongUseError where there is none, or two would write one table, and what `load_mapping` raises.
        """
        found = [self.load_mapping(name) for name in names or self.mapping_names()]
        if not found:
            raise WrongUseError(
                f"{self.mappings} has no mapping yet: write one, as mappings/orders.json, or have one made of a table's"
                " items: dynaurora mapping infer --help"
            )
        require_own_tables(found)
        return found


def require_own_tables(mappings: Iterable[Mapping]) -> None:
    """Raise WrongUseError where two mappings would write one table, or one's view be named as another's table."""
    from dynaurora.mappings.replications import list_tables  # takes a second

    writers: dict[tuple[str, str], str] = {}
    for mapping in mappings:
        for table, name in list_tables(mapping).items():
            other = writers.setdefault(table, mapping.name)
            if other != mapping.name:
                raise WrongUseError(
                    f"The mappings {other} and {mapping.name} would both write {name}: give one of them another table."
                )


def find_root(start: Path) -> Path | None:
    """Return the nearest folder upwards that has a FILE, or None."""
    return next((folder for folder in (start, *start.parents) if (folder / FILE).is_file()), None)


def find_project(named: str | None = None) -> Project | None:
    """Return the project that is named, or that the working directory is in; else a clone's example, or None.

    Raises WrongUseError where the named folder is none, or a file does not hold.
    """
    if named is not None:
        root = Path(named).absolute()
        if not (root / FILE).is_file():
            raise WrongUseError(f"{root} is no project: it has no {FILE}. Make one with: dynaurora init {named}")
        return read_project(root)
    if root_above := find_root(Path.cwd()):
        return read_project(root_above)
    return replace(read_project(EXAMPLE), is_stand_in=True) if (CLONE / "setup.cfg").is_file() else None


def read_project(root: Path) -> Project:
    """Return the project of a folder. Raises WrongUseError, naming the file, the key and what was meant."""
    path = root / FILE
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WrongUseError(f"{path} cannot be read as TOML: {error}.") from error
    problems = list(_find_problems(document))
    if problems:
        raise WrongUseError(f"{path}: {'; '.join(problems)}.")
    platform = dict(document.get("platform", {}))
    return Project(
        root,
        parameters=_spell(platform.pop("parameters", {})),
        replications={name: _spell(given) for name, given in document.get("replications", {}).items()},
        defaults=document.get("defaults", {}),
        **platform,
    )


def _spell(given: dict[str, Any]) -> dict[str, str]:
    """Return the parameters of a stack as CloudFormation takes them."""
    return {name: str(value) for name, value in given.items()}


def _find_problems(document: dict[str, Any]) -> Iterator[str]:
    """Yield what a `dynaurora.toml` has that it cannot have."""
    for table, keys in document.items():
        if table not in KEYS:
            yield f"{table!r} is not known{_suggest(table, KEYS)}"
        elif not isinstance(keys, dict):
            yield f"{table!r} is a table, written [{table}]"
        else:
            for key, value in keys.items():
                yield from _find_key_problems(table, key, value)


def _find_key_problems(table: str, key: str, value: Any) -> Iterator[str]:
    kind = dict if table == "replications" else KEYS[table].get(key)
    if kind is dict:
        yield from _find_parameter_problems(f"{table}.{key}", value)
    elif kind is None:
        yield f"{key!r} in [{table}] is not known{_suggest(key, KEYS[table])}"
    elif isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
        yield f"{key!r} in [{table}] is a {'text' if kind is str else 'number'}, not {value!r}"
    elif value == "":
        yield f"{key!r} in [{table}] is empty; leave it out instead"


def _find_parameter_problems(place: str, value: Any) -> Iterator[str]:
    """Yield what cannot be parameters of a stack: they are texts and numbers, also "yes" and "true"."""
    if not isinstance(value, dict):
        yield f"{place!r} is a table, written [{place}]"
        return
    for name, given in value.items():
        if isinstance(given, bool) or not isinstance(given, (str, int, float)):
            yield f"{name!r} in [{place}] is a text or a number, not {given!r}"


def _suggest(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else f"; there are: {', '.join(known)}"


def use_project(context: click.Context, named: str | None) -> None:
    """Have the commands of a context work in a project: AWS's region and profile, and the defaults of options.

    What the environment says of AWS counts before what the file says; so a session that was led to the local AWS stays
    there.
    """
    project = find_project(named)
    context.meta[_META] = project
    if project is None:
        return
    if project.region and not os.environ.get("AWS_REGION"):
        os.environ["AWS_REGION"] = project.region
    if not os.environ.get("AWS_PROFILE"):
        os.environ.pop("AWS_PROFILE", None)  # the SDK would look for a profile without a name
    if project.profile and not (os.environ.get("AWS_PROFILE") or os.environ.get("AWS_ACCESS_KEY_ID")):
        os.environ["AWS_PROFILE"] = project.profile
    context.default_map = _map_defaults(context.command, project.defaults)


def _map_defaults(command: click.Command, defaults: dict[str, Any]) -> dict[str, Any]:
    """Return the defaults as click takes them: by command, then by option."""
    if isinstance(command, click.Group):
        return {name: _map_defaults(inner, defaults) for name, inner in command.commands.items()}
    names = {parameter.name for parameter in command.params}
    return {name: value for name, value in defaults.items() if name in names}


def current_project() -> Project:
    """Return the project that this command works in. Raises WrongUseError where there is none."""
    project = find_current()
    if project is None:
        raise WrongUseError(
            f"There is no project here: no {FILE} in {Path.cwd()} or above it. Make one with `dynaurora init`, or name"
            f" one with --project or {VARIABLE}."
        )
    return project


def own_stack() -> str | None:
    """Return the platform's stack of the project that this command works in; None where nobody chose a project."""
    project = find_current()
    return project.stack if project and not project.is_stand_in else None


def load_mapping(name: str) -> Mapping:
    """Return the current project's mapping of a name.

    Raises UnknownMappingError, also where there is no project, or InvalidMappingError where it does not hold.
    """
    project = find_current()
    if project is None:
        raise UnknownMappingError(f"No mapping is named {name!r}: there is no project in {Path.cwd()} or above it.")
    return project.load_mapping(name)


def load_example() -> Mapping:
    """Return the example's mapping."""
    return read_project(EXAMPLE).load_mapping(EXAMPLE.name)


def find_current() -> Project | None:
    """Return the project that this command works in, or None. Raises WrongUseError where it does not hold."""
    context = click.get_current_context(silent=True)
    if context is None or _META not in context.meta:
        return find_project()
    project: Project | None = context.meta[_META]
    return project
