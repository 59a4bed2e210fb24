"""Notices: of one cause, people are told once in an interval, however often it strikes.

The first who claims a cause for the interval writes its object, which S3 lets one of several do; the others find it
there (Amazon S3 User Guide, "Conditional writes"). Who claims again, because the answer to the first claim was lost,
finds its own name and is told the same.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dynaurora import keys

if TYPE_CHECKING:
    from datetime import datetime

    from dynaurora.aws.objects import ObjectStore


@dataclass(frozen=True)
class Notices:
    """The notices of one stack."""

    store: ObjectStore
    bucket: str
    mapping: str
    interval_seconds: int

    def claim(self, cause: str, claimant: str, now: datetime) -> bool:
        """Tell whether people are to be told of a cause now: True for one claimant in each interval.

        A claimant is who would tell them, an execution for one.
        """
        interval = int(now.timestamp()) // self.interval_seconds
        key = keys.notice(self.mapping, re.sub(r"[^A-Za-z0-9._-]", "_", cause), interval)
        notice = {"cause": cause, "told_by": claimant, "at": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
        if self.store.create(self.bucket, key, json.dumps(notice).encode()):
            return True
        try:
            told_by = json.loads(self.store.read(self.bucket, key))["told_by"]
        except (KeyError, TypeError, ValueError):  # nobody knows whether people were told
            return True
        return bool(told_by == claimant)
