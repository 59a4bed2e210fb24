"""Templates made ready to deploy, as `aws cloudformation package` does: what they name by path is uploaded.

A template names the functions' package, a state machine's definition or a nested template by a path relative to
itself. Each is uploaded under the hash of its content, and the path replaced by where it then is, so that the same
inputs give the same template: CloudFormation sees a change only where there is one.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

LOCAL_PATH = re.compile(
    r"^(?P<head> *(?P<property>CodeUri|DefinitionUri|TemplateURL): )(?P<path>[\w./-]+)$", re.MULTILINE
)
"""A line of a template that names a file: our templates are written one property to a line, unquoted."""


class PackagingError(Exception):
    """A template names a file that is not there."""


@dataclass
class Packager:
    """Uploads what templates name to one bucket, each file once."""

    s3: S3Client
    bucket: str
    built: Mapping[Path, Path] = field(default_factory=dict)
    """For a path that a template names, the file to upload in its place (the package for this machine's Python)."""
    placed: Mapping[Path, str] = field(default_factory=dict)
    """For a path that a template names, where it is already, as `s3://…`."""
    _uploaded: dict[Path, str] = field(default_factory=dict)

    def package(self, template: Path) -> str:
        """Return the text of a template in which every path is the place of what was uploaded for it.

        Raises PackagingError, naming the template and the path.
        """
        return LOCAL_PATH.sub(lambda line: line["head"] + self._place(line, template), template.read_text("utf-8"))

    def upload_template(self, template: Path) -> str:
        """Upload a template in which every path is a place, and return its URL."""
        return f"{self.s3.meta.endpoint_url}/{self.bucket}/{self._upload(template, self._package_bytes)}"

    def upload(self, path: Path) -> str:
        """Upload a file as it is, and return its key."""
        return self._upload(path, _read_bytes)

    def _place(self, line: re.Match[str], template: Path) -> str:
        path = (template.parent / line["path"]).resolve()
        if path in self.placed:
            return self.placed[path]
        path = self.built.get(path, path)
        if not path.is_file():
            raise PackagingError(f"{template} names {line['path']} as {line['property']}, and there is no such file.")
        if line["property"] == "TemplateURL":
            return self.upload_template(path)
        return f"s3://{self.bucket}/{self._upload(path, _read_bytes)}"

    def _package_bytes(self, template: Path) -> bytes:
        return self.package(template).encode()

    def _upload(self, path: Path, read: Callable[[Path], bytes]) -> str:
        """Upload a file and return its key."""
        if path not in self._uploaded:
            content = read(path)
            key = f"{hashlib.sha256(content).hexdigest()}{path.suffix}"
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)
            self._uploaded[path] = key
        return self._uploaded[path]


def _read_bytes(path: Path) -> bytes:
    return path.read_bytes()
