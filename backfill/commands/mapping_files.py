"""Mappings as commands are given them: by the name of one of the project, or the path of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from backfill.project import load_mapping
from backfill.terminal.console import WrongUseError
from dynaurora.errors import InvalidMappingError, UnknownMappingError

if TYPE_CHECKING:
    from dynaurora.mappings.mapping import Mapping


def load(mapping: str) -> Mapping:
    """Return the mapping of a name, or of a file."""
    from dynaurora.mappings.mapping import load_mapping_file  # takes a second

    is_file = mapping.endswith(".json") or "/" in mapping
    try:
        if not is_file:
            return load_mapping(mapping)
        if not Path(mapping).is_file():
            raise WrongUseError(f"There is no file {mapping}; give the path of a mapping's file, or a mapping's name.")
        return load_mapping_file(Path(mapping))
    except UnknownMappingError as error:
        raise WrongUseError(f"{error.problem} A file is named by its path, as ./{mapping}.json.") from error
    except InvalidMappingError as error:
        raise click.ClickException(str(error)) from error


def fit_page(mapping: Mapping) -> None:
    """Fail where the server could refuse a mapping's tables, or a row in them."""
    from dynaurora.mappings.page_sizes import check_page

    try:
        check_page(mapping)
    except InvalidMappingError as error:
        raise click.ClickException(str(error)) from error


def bound_patterns(mapping: Mapping) -> None:
    """Fail where a pattern of the mapping's schema is not judged in linear time: an item could be made to be slow."""
    from dynaurora.mappings.patterns import find_unbounded

    found = [f"{pattern} at $.{place}" for place, pattern in find_unbounded(mapping.schema)]
    if found:
        raise click.ClickException(
            f"{mapping.name} has patterns that take more than linear time: {'; '.join(found)}. Say them without"
            " look-around, references back, flags and counts above 1,000. Mappings that are deployed go on as they are."
        )
