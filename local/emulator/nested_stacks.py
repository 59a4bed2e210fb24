"""CloudFormation: nested stacks that use a transform, that are updated, and that are deleted.

- The emulator expands ``AWS::Serverless-2016-10-31`` in a root template only, and a nested stack with such a function
  fails as an unsupported resource. CloudFormation expands each template by itself (user guide, "Transform").
- When a nested stack is updated, the emulator forgets the attributes of every resource that stays as it is, so that
  another one's Fn::GetAtt of them fails the update.
- When one is deleted, the emulator deletes what its DeletionPolicy says to retain, and takes no notice of what cannot
  be deleted. As on AWS, the former stays, and the latter fails the deletion of the nested stack and of its parent.
- When one cannot be created, the emulator leaves what it has made of it. As on AWS, it is rolled back; and what
  RetainExceptOnCreate retains goes, then and when the operation of its parent that created it is rolled back (template
  reference, "DeletionPolicy attribute", which does not speak of nested stacks).
"""

import logging
from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import engine, provisioners, stacks

from local.emulator.replacements import Replacements

logger = logging.getLogger("dynaurora.stacks")


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    module = provisioners.__name__
    transform = "(template: dict, provided_params=None, previous_params=None) -> dict"
    emulator.require(engine.__name__, "_apply_transforms", transform)
    emulator.require(engine.__name__, "_topological_sort", "(resources: dict, conditions: dict) -> list")
    emulator.require(
        stacks.__name__,
        "_resource_policy",
        "(res_def, attribute, resources, params, conditions, mappings, stack_name, stack_id)",
    )
    emulator.require(
        module,
        "_delete_resource",
        "(resource_type: str, physical_id: str, props: dict, stack_name: str | None = None, "
        "logical_id: str | None = None)",
    )
    emulator.require(module, "_nested_stack_lookup_name", "(physical_id_or_arn)")
    delete = "_RESOURCE_HANDLERS[AWS::CloudFormation::Stack][delete]"
    emulator.wrap(module, delete, "(physical_id, props)", _delete_resources_first)
    create = "_RESOURCE_HANDLERS[AWS::CloudFormation::Stack][create]"
    emulator.wrap(module, create, "(logical_id, props, stack_name)", _roll_back_on_failure)
    check = "_check_nested_stack_capabilities"
    emulator.wrap(module, check, "(parent_stack_name, template)", _expand_after_check)
    emulator.wrap(
        module,
        "_update_resource",
        "(resource_type: str, physical_id: str, old_props: dict, new_props: dict, stack_name: str, "
        "logical_id: str | None = None, old_attrs: dict | None = None) -> tuple",
        _keep_attributes,
    )


def _expand_after_check(original: Any) -> Any:
    """Expand a nested template where the emulator first looks at it, before it has read anything of it."""

    def check(parent_stack_name: str, template: dict[str, Any]) -> None:
        original(parent_stack_name, template)
        expanded = engine._apply_transforms(dict(template))
        if isinstance(expanded, engine._TransformFailed):
            raise ValueError(expanded.error)
        template.clear()
        template.update(expanded)

    return check


def _keep_attributes(original: Any) -> Any:
    def update(
        resource_type: str,
        physical_id: str,
        old_props: dict[str, Any],
        new_props: dict[str, Any],
        stack_name: str,
        logical_id: str | None = None,
        old_attrs: dict[str, Any] | None = None,
    ) -> Any:
        if old_attrs is None:
            resources = (cloudformation._stacks.get(stack_name) or {}).get("_resources", {})
            old_attrs = resources.get(logical_id, {}).get("Attributes")
        return original(resource_type, physical_id, old_props, new_props, stack_name, logical_id, old_attrs)

    return update


def _roll_back_on_failure(original: Any) -> Any:
    """Delete what a nested stack has made that could not be created; its record stays, for its events."""

    def create(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        before = set(cloudformation._stacks)
        try:
            return original(logical_id, props, stack_name)
        except Exception:
            for name in set(cloudformation._stacks) - before:
                stack = cloudformation._stacks[name]
                if name.startswith(f"{stack_name}-{logical_id}-") and stack["StackStatus"] == "CREATE_FAILED":
                    failed = _delete_resources(stack, is_created=True)
                    stack["StackStatus"] = "ROLLBACK_FAILED" if failed else "ROLLBACK_COMPLETE"
            raise

    return create


def _delete_resources_first(original: Any) -> Any:
    """Leave the emulator a stack without resources to delete."""

    def delete(physical_id: str, props: dict[str, Any]) -> None:
        stack = cloudformation._stacks.get(provisioners._nested_stack_lookup_name(physical_id))
        if stack is not None:
            parent = cloudformation._stacks.get(stack["_parent_stack_name"]) or {}
            # A rollback deletes no nested stack but those that were created by the operation that is rolled back.
            failed = _delete_resources(stack, is_created="ROLLBACK" in parent.get("StackStatus", ""))
            if failed:
                stack["StackStatus"] = "DELETE_FAILED"
                raise ValueError(f"The following resource(s) failed to delete: [{', '.join(sorted(failed))}].")
        original(physical_id, props)

    return delete


def _delete_resources(stack: dict[str, Any], *, is_created: bool) -> list[str]:
    """Delete a nested stack's resources, dependents first, but for those to be retained; those that it could not.

    `is_created` tells that what created the stack is being rolled back.
    """
    resources, definitions = stack["_resources"], stack["_template"].get("Resources", {})
    failed = []
    for logical_id in reversed(engine._topological_sort(definitions, stack["_conditions"])):
        resource = resources.get(logical_id)
        if resource is None:
            continue
        if not _is_retained(stack, definitions[logical_id], is_created=is_created):
            try:
                _delete_resource(stack["StackName"], logical_id, resource)
            except Exception as error:
                logger.exception("%s of %s could not be deleted", logical_id, stack["StackName"])
                resource |= {"ResourceStatus": "DELETE_FAILED", "ResourceStatusReason": str(error)}
                failed.append(logical_id)
                continue
        del resources[logical_id]
    return failed


def _delete_resource(stack_name: str, logical_id: str, resource: dict[str, Any]) -> None:
    provisioners._delete_resource(
        resource["ResourceType"], resource["PhysicalResourceId"], resource["Properties"], stack_name, logical_id
    )


def _is_retained(stack: dict[str, Any], definition: dict[str, Any], *, is_created: bool) -> bool:
    policy = stacks._resource_policy(
        definition,
        "DeletionPolicy",
        stack["_resources"],
        stack["_resolved_params"],
        stack["_conditions"],
        stack["_template"].get("Mappings", {}),
        stack["StackName"],
        stack["StackId"],
    )
    return policy == "Retain" or (policy == "RetainExceptOnCreate" and not is_created)
