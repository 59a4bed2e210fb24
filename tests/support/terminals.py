"""Programs on a terminal of their own, and what is seen of them."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Sequence
from dataclasses import dataclass

COLORS = re.compile(r"\x1b\[[0-9;]*m")
MOVES = re.compile(r"\x1b\[\??[0-9;]*[A-Za-z]|\r")
"""What goes elsewhere on the screen, or shows and hides the cursor."""
SAME_LINE = "\r\x1b[K"


@dataclass(frozen=True)
class Seen:
    """What a program that has ended wrote to its terminal."""

    status: int
    text: str

    @property
    def lines(self) -> list[str]:
        """All lines that were ever seen, those that changed in place too, without colours."""
        parts = re.split(r"\n|\r", MOVES.sub("\r", COLORS.sub("", self.text)))
        return [part for part in parts if part.strip()]

    @property
    def left(self) -> list[str]:
        """The lines that stay, of a program that changes one line in place."""
        lines = self.text.replace("\r\n", "\n").split("\n")
        return [line.rpartition(SAME_LINE)[2] for line in lines if line.rpartition(SAME_LINE)[2]]

    @property
    def is_colored(self) -> bool:
        """Whether anything had a colour; bold and dim are none."""
        codes = (code for found in COLORS.findall(self.text) for code in found[2:-1].split(";"))
        return any(code.isdigit() and (30 <= int(code) <= 49 or 90 <= int(code) <= 107) for code in codes)


def run_on_terminal(command: Sequence[str | os.PathLike[str]], columns: int = 80, **environment: str) -> Seen:
    """Run a program on a terminal that is so wide, until it ends."""
    primary, replica = pty.openpty()
    fcntl.ioctl(replica, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    known = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR", "FORCE_COLOR"}}
    process = subprocess.Popen(
        command,
        stdin=replica,
        stdout=replica,
        stderr=replica,
        env=known | {"TERM": "xterm-256color"} | environment,
        start_new_session=True,
    )
    os.close(replica)
    seen = b""
    try:
        while part := os.read(primary, 65536):
            seen += part
    except OSError:  # the last one has closed it
        pass
    finally:
        os.close(primary)
    return Seen(process.wait(), seen.decode())
