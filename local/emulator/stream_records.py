"""DynamoDB Streams: sequence numbers, sizes, and records of items that time to live has deleted.

- SequenceNumber has 21 digits here, none of them a leading zero, and only grows, over restarts too (AWS: 21 to 40
  digits).
- SizeBytes is the size of the keys and images that a record has, by the rules for items (developer guide, "DynamoDB
  item sizes and formats"). It is so in the records that AWS documents ("DynamoDB Streams and AWS Lambda triggers"). The
  emulator says 0.
- An expired item leaves a REMOVE record with ``userIdentity`` ``{"type": "Service", "principalId":
  "dynamodb.amazonaws.com"}`` (developer guide, "DynamoDB Streams and Time to Live"); the emulator leaves none.
  Expired items are looked for every DYNAURORA_TTL_SECONDS (default 5; AWS takes up to some days).
"""

import contextvars
import logging
import os
import threading
import time
from typing import Any

from ministack.core import responses
from ministack.services import dynamodb

from local.emulator import faults
from local.emulator.replacements import Replacements

logger = logging.getLogger("dynaurora.streams")

SERVICE_IDENTITY = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}

_EMULATOR_REAPER = "dynamodb-ttl-reaper"
_by_service: contextvars.ContextVar[bool] = contextvars.ContextVar("deleted_by_service", default=False)
_sequence_lock = threading.Lock()
_last_sequence = 0


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour, and start looking for expired items."""
    module = dynamodb.__name__
    emulator.require(module, "_extract_key_val", "(attr)")
    emulator.require(module, "_item_size_bytes", "(item: dict) -> int")
    emulator.require(
        module,
        "_emit_stream_event",
        "(table_name: str, event_name: str, old_item: dict | None, new_item: dict | None, replicate: bool = True)",
    )
    emulator.replace(module, "_next_stream_seq", "()", next_sequence_number)
    emulator.wrap(
        module,
        "_build_change_record",
        "(table: dict, event_name: str, old_item: dict | None, new_item: dict | None, view_type: str) -> dict",
        _complete,
    )
    emulator.wrap(module, "_remove_item", "(table, pk_val, sk_val)", _leave_to_us)
    threading.Thread(target=_expire_items_for_ever, name="time-to-live", daemon=True).start()


def next_sequence_number() -> str:
    """Return a number of 21 digits, greater than every earlier one."""
    global _last_sequence
    with _sequence_lock:
        _last_sequence = max(_last_sequence + 1, time.time_ns() * 100)
        return str(_last_sequence)


def is_by_service() -> bool:
    """Tell whether what is being deleted is an item whose time to live is over."""
    return _by_service.get()


def expire_items(now: float) -> None:
    """Delete the items whose time to live is over, in every account and region."""
    for (account, region, name), setting in list(dynamodb._ttl_settings.all_items()):
        if setting.get("TimeToLiveStatus") == "ENABLED":
            contextvars.copy_context().run(_expire_items_of, account, region, name, setting["AttributeName"], now)


def _expire_items_of(account: str, region: str, name: str, attribute: str, now: float) -> None:
    responses._request_account_id.set(account)
    responses._request_region.set(region)
    _by_service.set(True)
    table = dynamodb._tables.get(name)
    if table is None:
        return
    for partition, rows in list(table["items"].items()):
        for sort, item in list(rows.items()):
            value = (item.get(attribute) or {}).get("N")
            if value is not None and float(value) <= now:
                removed = dynamodb._remove_item(table, partition, sort)
                if removed is not None:
                    dynamodb._emit_stream_event(name, "REMOVE", removed, None)


def _expire_items_for_ever() -> None:
    seconds = float(os.environ.get("DYNAURORA_TTL_SECONDS", "5"))
    while True:
        time.sleep(seconds)
        try:
            expire_items(time.time())
        except Exception:
            logger.exception("Looking for expired items failed; it goes on")


def _complete(original: Any) -> Any:
    def build(
        table: dict[str, Any],
        event_name: str,
        old_item: dict[str, Any] | None,
        new_item: dict[str, Any] | None,
        view_type: str,
    ) -> dict[str, Any]:
        record: dict[str, Any] = original(table, event_name, old_item, new_item, view_type)
        data = record["dynamodb"]
        parts = (data["Keys"], data.get("OldImage"), data.get("NewImage"))
        data["SizeBytes"] = sum(dynamodb._item_size_bytes(part) for part in parts if part)
        data["ApproximateCreationDateTime"] -= faults.read_writes_age()
        if _by_service.get():
            record["userIdentity"] = dict(SERVICE_IDENTITY)
        return record

    return build


def _leave_to_us(original: Any) -> Any:
    """Keep the emulator's own reaper, which would leave no stream record, from deleting anything."""

    def remove(table: dict[str, Any], pk_val: Any, sk_val: Any) -> Any:
        if threading.current_thread().name == _EMULATOR_REAPER:
            return None
        return original(table, pk_val, sk_val)

    return remove
