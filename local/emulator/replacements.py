"""Replace parts of the emulator, but only where they are what the replacement was written for.

An upgrade of the emulator may rename a function or give it another parameter. A replacement that silently no longer
takes effect would bring back the gap it fills, so every symbol is looked up and its signature compared before
anything is changed, and all differences are reported together.
"""

import importlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_PART = re.compile(r"^(?P<attribute>\w+(?:\.\w+)*)(?P<keys>(?:\[[^\]]+\])*)$")


class EmulatorChangedError(RuntimeError):
    """The installed emulator is not the one this launcher was written for; the message lists every difference."""

    def __init__(self, differences: list[str]) -> None:
        self.differences = differences
        lines = "\n".join(f"  - {difference}" for difference in differences)
        super().__init__(
            f"The emulator differs from what local/emulator expects:\n{lines}\n"
            "Install the version that requirements/emulator.txt pins, or adapt the modules named above to the new one."
        )


@dataclass(frozen=True)
class Symbol:
    """A function of the emulator: an attribute of a module or of a class, or an entry of a dictionary that is one.

    They are written ``function``, ``Class.method`` and ``TABLE[a][b]``.
    """

    module: str
    path: str

    def __str__(self) -> str:
        return f"{self.module}.{self.path}"

    def _holder(self) -> tuple[Any, str, bool]:
        """Return what holds the function, its name there, and whether that is a key rather than an attribute."""
        match = _PART.match(self.path)
        if match is None:
            raise ValueError(f"Not a symbol: {self.path}")
        holder: Any = importlib.import_module(self.module)
        *classes, attribute = match["attribute"].split(".")
        for name in classes:
            holder = getattr(holder, name)
        keys = re.findall(r"\[([^\]]+)\]", match["keys"])
        if not keys:
            return holder, attribute, False
        holder = getattr(holder, attribute)
        for key in keys[:-1]:
            holder = holder[key]
        return holder, keys[-1], True

    def get(self) -> Any:
        """Return the function itself. Raises ImportError, AttributeError or KeyError when it is not there."""
        holder, name, is_key = self._holder()
        return holder[name] if is_key else getattr(holder, name)

    def is_there(self) -> bool:
        """Tell whether there is something in this place. Raises ImportError or AttributeError where no place is."""
        holder, name, is_key = self._holder()
        return name in holder if is_key else hasattr(holder, name)

    def set(self, value: object) -> None:
        """Put ``value`` in its place."""
        holder, name, is_key = self._holder()
        if is_key:
            holder[name] = value
        else:
            setattr(holder, name, value)


class Replacements:
    """Collects what every behaviour needs of the emulator; checks all of it; only then replaces."""

    def __init__(self) -> None:
        self._planned: list[tuple[Symbol, Callable[[Any], Callable[..., Any]]]] = []
        self._added: list[tuple[Symbol, object]] = []
        self._differences: list[str] = []

    def require(self, module: str, path: str, signature: str) -> None:
        """Note a function that a behaviour calls, with the signature it was written for."""
        symbol = Symbol(module, path)
        try:
            found = str(inspect.signature(symbol.get()))
        except (ImportError, AttributeError, KeyError) as error:
            self._differences.append(f"{symbol} is not there ({type(error).__name__}: {error})")
            return
        if found != signature:
            self._differences.append(f"{symbol}{signature} expected, {found} found")

    def replace(self, module: str, path: str, signature: str, function: Callable[..., Any]) -> None:
        """Put ``function`` in the place of one of the emulator's, if that one has the expected signature."""
        self.wrap(module, path, signature, lambda _: function)

    def wrap(self, module: str, path: str, signature: str, make: Callable[[Any], Callable[..., Any]]) -> None:
        """Like ``replace``, with a replacement made from the original by ``make``."""
        self.require(module, path, signature)
        self._planned.append((Symbol(module, path), make))

    def add(self, module: str, path: str, value: object) -> None:
        """Put something into one of the emulator's dictionaries that it has nothing of."""
        symbol = Symbol(module, path)
        if symbol.is_there():
            self._differences.append(f"{symbol} is there, and was not expected")
        self._added.append((symbol, value))

    def apply(self) -> None:
        """Replace everything that was planned. Raises EmulatorChangedError, and changes nothing, on any difference."""
        if self._differences:
            raise EmulatorChangedError(self._differences)
        for symbol, make in self._planned:
            symbol.set(make(symbol.get()))
        for symbol, value in self._added:
            symbol.set(value)
