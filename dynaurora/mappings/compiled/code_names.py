"""The names of code that is made: of what it uses, and of its variables."""

from __future__ import annotations

from typing import Any


class Names(dict[str, Any]):
    """What code uses, by the names that it has there."""

    variables = 0

    def give(self, thing: Any) -> str:
        """Return a new name for a thing."""
        name = f"d{len(self)}"
        self[name] = thing
        return name

    def new_variable(self) -> str:
        """Return the name of a variable that nothing else has."""
        self.variables += 1
        return f"e{self.variables}"


def make_function(parameter: str, lines: list[str], names: Names) -> Any:
    """Return the function of one parameter that runs lines of code."""
    parameters = ", ".join([parameter, *(f"{name}={name}" for name in names)])
    source = "\n    ".join([f"def take({parameters}):", *lines])
    namespace = dict(names)
    exec(compile(source, "<document>", "exec"), namespace)  # noqa: S102 (no name of a mapping is in it)
    return namespace["take"]
