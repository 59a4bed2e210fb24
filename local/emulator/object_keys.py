"""S3: objects whose KMS key cannot be used.

The emulator encrypts nothing, and so asks no key. Here an object with a key, its bucket's default or one that the
request names, is neither written nor read or copied while that key is not enabled:

======================================  ==================================  ======
state of the key                        code                                status
======================================  ==================================  ======
Disabled                                ``KMS.DisabledException``           400
PendingDeletion, PendingImport, …       ``KMS.KMSInvalidStateException``    400
======================================  ==================================  ======

HeadObject and listings tell of an object without reading it, and need no key. Delivery streams write as anybody does,
and go on trying. A key that the emulator does not know, as one of AWS's own, is taken for enabled.

Sources: AWS KMS developer guide, "Key states of AWS KMS keys"; API reference, Decrypt and GenerateDataKey (errors);
Amazon S3 User Guide, "Using server-side encryption with AWS KMS keys (SSE-KMS)". S3 puts ``KMS.`` before the codes.

Deviations: a change of a key's state is seen at once (AWS: within minutes, later with a bucket key); the caller's own
permission to use the key is not asked for; Secrets Manager and SNS ask no key.
"""

from typing import Any

from ministack.services import kms, s3

from local.emulator.replacements import Replacements

KEY_HEADER = "x-amz-server-side-encryption-aws-kms-key-id"


def install(emulator: Replacements) -> None:
    """Plan the replacements that ask keys."""
    module = s3.__name__
    emulator.require(kms.__name__, "_resolve_key", "(key_id_or_arn)")
    emulator.require(module, "_stored_sse_headers", "(obj: dict) -> dict")
    emulator.wrap(
        module,
        "_get_object",
        "(bucket_name: str, key: str, headers: dict, query_params: dict = None)",
        _refuse_reading,
    )
    emulator.wrap(module, "_check_sse_c_copy_source", "(headers: dict, src_obj: dict)", _refuse_copying)
    emulator.wrap(module, "_resolve_sse_write_headers", "(headers: dict, bucket_name: str)", _refuse_writing)


def refuse_key(key: str) -> Any:
    """Return S3's answer where a key cannot be used; None where it can."""
    record = kms._resolve_key(key) if key else None
    state = record["KeyState"] if record else "Enabled"
    if state == "Enabled":
        return None
    arn = record["Arn"] if record else key
    if state == "Disabled":
        return s3._error("KMS.DisabledException", f"{arn} is disabled.", 400)
    said = {"PendingDeletion": "pending deletion", "PendingImport": "pending import"}.get(state, state)
    return s3._error("KMS.KMSInvalidStateException", f"{arn} is {said}.", 400)


def _refuse_reading(original: Any) -> Any:
    def get_object(bucket_name: str, key: str, headers: dict[str, str], query_params: Any = None) -> Any:
        answer = original(bucket_name, key, headers, query_params)
        sent = {name.lower(): value for name, value in answer[1].items()}
        refusal = refuse_key(sent.get(KEY_HEADER, "")) if answer[0] < 300 else None
        return refusal or answer

    return get_object


def _refuse_copying(original: Any) -> Any:
    def check(headers: dict[str, str], src_obj: dict[str, Any]) -> Any:
        return original(headers, src_obj) or refuse_key(s3._stored_sse_headers(src_obj).get(KEY_HEADER, ""))

    return check


def _refuse_writing(original: Any) -> Any:
    def resolve(headers: dict[str, str], bucket_name: str) -> Any:
        kept, error = original(headers, bucket_name)
        refusal = None if error else refuse_key((kept or {}).get(KEY_HEADER, ""))
        return (None, refusal) if refusal else (kept, error)

    return resolve
