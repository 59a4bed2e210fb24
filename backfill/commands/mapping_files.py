"""Mappings as commands are given them: by the name of one of the project, or the path of a file."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backfill.project import current_project, load_mapping
from backfill.terminal.console import WrongUseError
from dynaurora.errors import InvalidMappingError, UnknownMappingError

if TYPE_CHECKING:
    from dynaurora.mappings.mapping import Mapping


def load(mapping: str) -> Mapping:
    """Return the mapping of a name, or of a file."""
    from dynaurora.mappings.mapping import load_mapping_file  # takes a second

    try:
        if not is_path(mapping):
            return load_mapping(mapping)
        if not Path(mapping).is_file():
            raise WrongUseError(f"There is no file {mapping}; give the path of a mapping's file, or a mapping's name.")
        return load_mapping_file(Path(mapping))
    except UnknownMappingError as error:
        raise WrongUseError(f"{error.problem} A file is named by its path, as ./{mapping}.json.") from error
    except InvalidMappingError as error:
        raise click.ClickException(str(error)) from error


def read_document(mapping: str) -> tuple[str, Any]:
    """Return the name and the parsed file of a mapping, whether it holds or not."""
    path = find_file(mapping)
    try:
        return path.stem, json.loads(path.read_text("utf-8"), parse_float=Decimal, object_pairs_hook=refuse_repeats)
    except (OSError, ValueError, RecursionError) as error:
        raise click.ClickException(f"{path.name} cannot be read as JSON: {error}.") from error


def find_file(mapping: str) -> Path:
    """Return the file of a mapping. Raises WrongUseError where there is none."""
    path = Path(mapping)
    if not is_path(mapping):
        project = current_project()
        path = project.mappings / f"{mapping}.json"
        if mapping not in project.mapping_names():
            load(mapping)  # which says what there is
    elif not path.is_file():
        raise WrongUseError(f"There is no file {mapping}; give the path of a mapping's file, or a mapping's name.")
    return path


def refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. Raises ClickException for a name that stands in it twice."""
    names = Counter(name for name, _ in pairs)
    repeated = [name for name, count in names.items() if count > 1]
    if repeated:
        raise click.ClickException(f"{repeated[0]!r} stands twice in one object of the file, and the last would count.")
    return dict(pairs)


def is_path(mapping: str) -> bool:
    """Tell whether a mapping is named by the path of its file."""
    return mapping.endswith(".json") or "/" in mapping
