"""CloudFormation: settings of a template that the emulator's provisioners drop, applied as the resource is made.

==================== ==========================================================================================
resource             settings
==================== ==========================================================================================
Lambda function      ReservedConcurrentExecutions
DynamoDB table       PointInTimeRecoverySpecification, TimeToLiveSpecification, SSESpecification; the stream's label
                     agrees with its ARN
event source mapping AWS's default BatchSize (100) and error handling for streams
S3 bucket            BucketEncryption, LifecycleConfiguration, OwnershipControls, Tags, suspended versioning; a bucket
                     that is not empty is not deleted, and fails the deletion of its stack, as on AWS
==================== ==========================================================================================

An update to a template without a setting takes it back, as on AWS. A resource whose settings are refused when it is
created is not left behind.
"""

import json
from collections.abc import Iterable
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from ministack.core import responses
from ministack.services import dynamodb, lambda_svc, s3
from ministack.services.cloudformation import provisioners

from local.emulator.lambda_runtime import retire_environments
from local.emulator.replacements import Replacements, Symbol
from local.emulator.stream_mappings import complete_settings, wake_readers
from local.emulator.values import read_bool, read_int

Properties = dict[str, Any]
Provisioned = tuple[str, dict[str, Any]]

CREATE = "(logical_id, props, stack_name)"
UPDATE = "(physical_id, old_props, new_props, stack_name)"
UPDATE_BY_NAME = "(physical_id, old_props, new_props, stack_name, logical_id=None)"
DELETE = "(physical_id, props)"


class SettingRefusedError(ValueError):
    """A service refused a setting; the resource fails with the service's own words."""

    def __init__(self, resource_type: str, answer: Any) -> None:
        said = answer[2]
        super().__init__(f"{resource_type}: {said.decode() if isinstance(said, bytes) else said}")


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    table, function, bucket, mapping = (
        f"_RESOURCE_HANDLERS[AWS::{name}]"
        for name in ("DynamoDB::Table", "Lambda::Function", "S3::Bucket", "Lambda::EventSourceMapping")
    )
    module = provisioners.__name__
    for name in ("_update_continuous_backups", "_update_ttl", "_update_table"):
        emulator.require(dynamodb.__name__, name, "(data)")
    for name in ("encryption", "lifecycle", "tagging", "ownership_controls", "versioning"):
        emulator.require(s3.__name__, f"_put_bucket_{name}", "(name: str, body: bytes)")
    for name in ("encryption", "lifecycle", "tagging"):
        emulator.require(s3.__name__, f"_delete_bucket_{name}", "(name: str)")
    emulator.require(s3.__name__, "_bucket_has_versions", "(name: str) -> bool")
    emulator.require(lambda_svc.__name__, "_put_function_concurrency", "(func_name: str, data: dict)")
    emulator.require(lambda_svc.__name__, "_delete_function_concurrency", "(func_name: str)")
    emulator.wrap(module, f"{function}[create]", CREATE, _then_on_create(function, apply_function_settings))
    emulator.wrap(module, f"{function}[update]", UPDATE_BY_NAME, _then_on_update(apply_function_settings))
    emulator.wrap(module, f"{function}[delete]", DELETE, _end_environments)
    emulator.wrap(module, f"{table}[create]", CREATE, _then_on_create(table, apply_table_settings))
    emulator.wrap(module, f"{table}[update]", UPDATE_BY_NAME, _then_on_update(apply_table_settings))
    emulator.wrap(module, f"{table}[delete]", DELETE, _forget_table_settings)
    emulator.wrap(module, f"{mapping}[create]", CREATE, _complete_mapping_on_create)
    emulator.wrap(module, f"{mapping}[update]", UPDATE, _complete_mapping_on_update)
    emulator.wrap(module, f"{bucket}[create]", CREATE, _then_on_create(bucket, apply_bucket_settings))
    emulator.wrap(module, f"{bucket}[update]", UPDATE, _then_on_update(apply_bucket_settings))
    emulator.wrap(module, f"{bucket}[delete]", DELETE, _refuse_unless_empty)


def apply_function_settings(name: str, properties: Properties, old: Properties) -> None:
    """Reserve the function's concurrency, or release it."""
    reserved = properties.get("ReservedConcurrentExecutions")
    if reserved not in (None, ""):
        count = {"ReservedConcurrentExecutions": read_int(reserved, 0)}
        _check("AWS::Lambda::Function", lambda_svc._put_function_concurrency(name, count))
    elif "ReservedConcurrentExecutions" in old:
        _check("AWS::Lambda::Function", lambda_svc._delete_function_concurrency(name))


def apply_table_settings(name: str, properties: Properties, old: Properties) -> None:
    """Set point-in-time recovery, time to live and encryption of a table."""
    kind = "AWS::DynamoDB::Table"
    table = dynamodb._tables[name]
    if table.get("LatestStreamArn"):
        table["LatestStreamLabel"] = table["LatestStreamArn"].split("/stream/")[1]
    recovery, recovered = (_read(source, "PointInTimeRecoverySpecification") for source in (properties, old))
    if recovery or recovered:
        enabled = read_bool(recovery.get("PointInTimeRecoveryEnabled"), False)
        backups = {"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": enabled}}
        _check(kind, dynamodb._update_continuous_backups({"TableName": name, **backups}))
    expiry, expired = (_read(source, "TimeToLiveSpecification") for source in (properties, old))
    if expiry or expired:
        enabled = read_bool(expiry.get("Enabled"), False)
        attribute = expiry.get("AttributeName") or expired.get("AttributeName")
        time_to_live = {"TimeToLiveSpecification": {"Enabled": enabled, "AttributeName": attribute}}
        _check(kind, dynamodb._update_ttl({"TableName": name, **time_to_live}))
    encryption = _read(properties, "SSESpecification")
    if encryption and encryption != _read(old, "SSESpecification"):
        specification = {"Enabled": read_bool(encryption.get("SSEEnabled"), False)}
        specification |= {key: encryption[key] for key in ("SSEType", "KMSMasterKeyId") if key in encryption}
        _check(kind, dynamodb._update_table({"TableName": name, "SSESpecification": specification}))


def apply_bucket_settings(name: str, properties: Properties, old: Properties) -> None:
    """Set encryption, lifecycle, ownership and tags of a bucket; take back those that the template no longer names."""
    kind = "AWS::S3::Bucket"
    settings = (
        ("BucketEncryption", encryption_xml, s3._put_bucket_encryption, s3._delete_bucket_encryption),
        ("LifecycleConfiguration", lifecycle_xml, s3._put_bucket_lifecycle, s3._delete_bucket_lifecycle),
        ("OwnershipControls", ownership_xml, s3._put_bucket_ownership_controls, None),
        ("Tags", tagging_xml, s3._put_bucket_tagging, s3._delete_bucket_tagging),
    )
    for setting, to_xml, put, delete in settings:
        if properties.get(setting):
            _check(kind, put(name, to_xml(properties[setting])))
        elif old.get(setting) and delete is not None:
            _check(kind, delete(name))
    if _read(properties, "VersioningConfiguration").get("Status") == "Suspended":
        _check(kind, s3._put_bucket_versioning(name, _xml("VersioningConfiguration", {"Status": "Suspended"})))


def encryption_xml(encryption: Properties) -> bytes:
    """``BucketEncryption`` as the body of PutBucketEncryption."""
    rules = [
        {
            "ApplyServerSideEncryptionByDefault": rule.get("ServerSideEncryptionByDefault"),
            "BucketKeyEnabled": rule.get("BucketKeyEnabled"),
        }
        for rule in encryption["ServerSideEncryptionConfiguration"]
    ]
    return _xml("ServerSideEncryptionConfiguration", {"Rule": rules})


def lifecycle_xml(lifecycle: Properties) -> bytes:
    """``LifecycleConfiguration`` as the body of PutBucketLifecycleConfiguration."""
    return _xml("LifecycleConfiguration", {"Rule": [_lifecycle_rule(rule) for rule in lifecycle["Rules"]]})


def _lifecycle_rule(rule: Properties) -> Properties:
    noncurrent = rule.get("NoncurrentVersionExpiration") or {}
    prefix, tags = {"Prefix": rule.get("Prefix", "")}, rule.get("TagFilters")
    return {
        "ID": rule.get("Id"),
        "Filter": {"And": {**prefix, "Tag": tags}} if tags else prefix,
        "Status": rule.get("Status"),
        "Expiration": {
            "Days": rule.get("ExpirationInDays"),
            "ExpiredObjectDeleteMarker": rule.get("ExpiredObjectDeleteMarker"),
        },
        "NoncurrentVersionExpiration": {
            "NoncurrentDays": noncurrent.get("NoncurrentDays", rule.get("NoncurrentVersionExpirationInDays")),
            "NewerNoncurrentVersions": noncurrent.get("NewerNoncurrentVersions"),
        },
        "AbortIncompleteMultipartUpload": {
            "DaysAfterInitiation": (rule.get("AbortIncompleteMultipartUpload") or {}).get("DaysAfterInitiation")
        },
        "Transition": [
            {"Days": transition.get("TransitionInDays"), "StorageClass": transition["StorageClass"]}
            for transition in rule.get("Transitions") or []
        ],
    }


def ownership_xml(ownership: Properties) -> bytes:
    """``OwnershipControls`` as the body of PutBucketOwnershipControls."""
    return _xml("OwnershipControls", {"Rule": ownership["Rules"]})


def tagging_xml(tags: Iterable[Properties]) -> bytes:
    """``Tags`` as the body of PutBucketTagging."""
    return _xml("Tagging", {"TagSet": {"Tag": list(tags)}})


def _xml(name: str, content: Properties) -> bytes:
    root = Element(name, xmlns=s3.S3_NS)
    _add_elements(root, content)
    document: bytes = tostring(root, encoding="utf-8")
    return document


def _add_elements(parent: Element, content: Properties) -> None:
    """Add a list as repeated elements, a mapping as nested ones; leave out what is absent or holds nothing."""
    for name, value in content.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                if any(part not in (None, {}, []) for part in item.values()):
                    _add_elements(SubElement(parent, name), item)
            elif item is not None:
                SubElement(parent, name).text = json.dumps(item) if isinstance(item, bool) else str(item)


def _then_on_create(resource: str, apply: Any) -> Any:
    def wrap(original: Any) -> Any:
        def create(logical_id: str, props: Properties, stack_name: str) -> Provisioned:
            physical_id, attributes = original(logical_id, props, stack_name)
            try:
                apply(physical_id, props, {})
            except SettingRefusedError:
                Symbol(provisioners.__name__, f"{resource}[delete]").get()(physical_id, props)
                raise
            return physical_id, attributes

        return create

    return wrap


def _then_on_update(apply: Any) -> Any:
    def wrap(original: Any) -> Any:
        def update(physical_id: str, old_props: Properties, new_props: Properties, *names: Any) -> Provisioned:
            new_id, attributes = original(physical_id, old_props, new_props, *names)
            apply(new_id, new_props, old_props if new_id == physical_id else {})
            return new_id, attributes

        return update

    return wrap


def _complete_mapping_on_create(original: Any) -> Any:
    def create(logical_id: str, props: Properties, stack_name: str) -> Any:
        created = original(logical_id, complete_settings(props), stack_name)
        wake_readers()
        return created

    return create


def _complete_mapping_on_update(original: Any) -> Any:
    def update(physical_id: str, old_props: Properties, new_props: Properties, stack_name: str) -> Any:
        return original(physical_id, complete_settings(old_props), complete_settings(new_props), stack_name)

    return update


def _end_environments(original: Any) -> Any:
    def delete(physical_id: str, props: Properties) -> None:
        original(physical_id, props)
        retire_environments(physical_id, account=responses.get_account_id(), region=responses.get_region())

    return delete


def _forget_table_settings(original: Any) -> Any:
    def delete(physical_id: str, props: Properties) -> None:
        original(physical_id, props)
        dynamodb._pitr_settings.pop(physical_id, None)
        dynamodb._ttl_settings.pop(physical_id, None)

    return delete


def _refuse_unless_empty(original: Any) -> Any:
    def delete(physical_id: str, props: Properties) -> None:
        bucket = s3._buckets.get(physical_id)
        if bucket is not None and (bucket["objects"] or s3._bucket_has_versions(physical_id)):
            raise ValueError(
                f"The bucket you tried to delete is not empty: {physical_id} (Service: S3, Status Code: 409)"
            )
        original(physical_id, props)

    return delete


def _read(properties: Properties, name: str) -> Properties:
    value: Properties = properties.get(name) or {}
    return value


def _check(resource_type: str, answer: Any) -> None:
    if answer[0] >= 300:
        raise SettingRefusedError(resource_type, answer)
