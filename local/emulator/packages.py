"""Deployment packages on disk: each distinct zip is unpacked once and shared by every environment that runs it.

On AWS a package is mounted read-only under ``/var/task`` and a layer under ``/opt``; here they are directories below
the emulator's temporary directory, named after the zip's content and made anew with every start of the emulator.
"""

import hashlib
import io
import os
import shutil
import tempfile
import threading
import zipfile
from pathlib import Path

_lock = threading.Lock()
_unpacked: dict[str, Path] = {}


def unpack(archive: bytes) -> Path:
    """Return the directory that holds the content of a zip archive. Raises zipfile.BadZipFile."""
    digest = hashlib.sha256(archive).hexdigest()
    with _lock:
        if digest not in _unpacked:
            directory = _home() / digest[:32]
            with zipfile.ZipFile(io.BytesIO(archive)) as content:
                content.extractall(directory)
            _unpacked[digest] = directory
        return _unpacked[digest]


def remove_all() -> None:
    """Delete what earlier runs of an emulator on this port left behind, and what this one unpacked."""
    with _lock:
        _unpacked.clear()
        shutil.rmtree(_home(), ignore_errors=True)


def _home() -> Path:
    """One directory per port: no two live emulators share one."""
    return Path(tempfile.gettempdir()) / f"functions-{os.environ.get('GATEWAY_PORT', '4566')}"
