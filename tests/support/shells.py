"""Interactive shells, each typed into on a terminal of its own."""

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.waiting import PATIENCE_SECONDS

COMMANDS = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        "bind 'set enable-bracketed-paste off'; bind 'set bell-style none'; bind 'set show-all-if-ambiguous on'",
    ),
    "zsh": (
        ["zsh", "--no-rcs", "-i"],
        "unsetopt zle_bracketed_paste list_ambiguous; autoload -Uz compinit; compinit -D",
    ),
}
"""How a shell is started that has read nothing of its owner's, and what makes it complete."""
ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>])|\r|.\x08")


class Shell:
    """An interactive shell, bash or zsh, that has read the script of `dynaurora completion`."""

    def __init__(self, name: str, directory: Path, environment: Mapping[str, str]) -> None:
        """Start it in a directory, with an environment that has `dynaurora` on its PATH."""
        command, preparing = COMMANDS[name]
        self._primary, replica = pty.openpty()
        self._process = subprocess.Popen(
            command,
            stdin=replica,
            stdout=replica,
            stderr=replica,
            cwd=directory,
            env={**environment, "TERM": "dumb", "PS1": "> ", "INPUTRC": "/dev/null"},
            start_new_session=True,
        )
        os.close(replica)
        self.type(f'{preparing}\neval "$(dynaurora completion {name})"; echo re""ady\n', "ready")

    def type(self, keys: str, until: str) -> None:
        """Type keys, and wait until a text is on the screen."""
        os.write(self._primary, keys.encode())
        seen, deadline = "", time.monotonic() + PATIENCE_SECONDS
        while until not in ESCAPES.sub("", seen):
            assert time.monotonic() < deadline, seen
            if select.select([self._primary], [], [], 0.5)[0]:
                seen += os.read(self._primary, 4096).decode()

    def close(self) -> None:
        """End it."""
        os.close(self._primary)
        self._process.kill()
        self._process.wait()
