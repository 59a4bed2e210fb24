"""docs/mapping.md is what the schema of mappings says."""

import json

from dynaurora.mappings.files import SCHEMA_FILE
from tools import mapping_reference


def list_properties(schema):
    """Every name that an object of a mapping's file may have."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield from schema["properties"].items()
        for each in schema.values():
            yield from list_properties(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from list_properties(each)


def test_the_page_is_as_the_schema_says():
    assert mapping_reference.PAGE.read_text("utf-8") == mapping_reference.render(), "run: make docs"


def test_every_property_is_in_it_with_its_description():
    page = mapping_reference.render()
    for name, each in list_properties(json.loads(SCHEMA_FILE.read_text("utf-8"))):
        if isinstance(each, dict) and "description" in each:
            assert f"| `{name}` |" in page
            assert each["description"].replace("|", "\\|") in page


def test_it_writes_the_page_that_it_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mapping_reference, "PAGE", tmp_path / "mapping.md")
    mapping_reference.run([])
    mapping_reference.run(["--write"])
    assert (tmp_path / "mapping.md").read_text("utf-8") == capsys.readouterr().out == mapping_reference.render()
