"""Misfits: values that their columns cannot hold without loss."""

from __future__ import annotations

from typing import NoReturn


class Misfit(ValueError):
    """A value that its column cannot hold without loss: `rule` is the word to count it by."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def misfit(rule: str, message: str) -> NoReturn:
    """Refuse a value."""
    raise Misfit(rule, message)


def check_unicode(text: str) -> None:
    """Refuse a lone surrogate: UTF-8, and so MySQL, cannot hold one."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            misfit("unicode", f"has a lone surrogate at character {error.start}, which is no text")
