"""CloudFormation: nested stacks that use a transform, and that are updated.

- The emulator expands ``AWS::Serverless-2016-10-31`` in a root template only, and a nested stack with such a function
  fails as an unsupported resource. CloudFormation expands each template by itself (user guide, "Transform").
- When a nested stack is updated, the emulator forgets the attributes of every resource that stays as it is, so that
  another one's Fn::GetAtt of them fails the update.
"""

from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import engine, provisioners

from local.emulator.replacements import Replacements


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    module = provisioners.__name__
    transform = "(template: dict, provided_params=None, previous_params=None) -> dict"
    emulator.require(engine.__name__, "_apply_transforms", transform)
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
