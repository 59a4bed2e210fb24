import json

import pytest

from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.errors import RejectedChange
from dynaurora.mappings.compiled.row_writer import RowWriter
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.row_mapper import MAX_REASONS, RowMapper
from dynaurora.mappings.rows import Row
from tests.support.example import load_example
from tests.support.factories import (
    CREATED_AT,
    click,
    click_change,
    click_item,
    column,
    make_mapping,
    map_item,
    mapping_document,
)

CLICKS = RowMapper(load_example())
HOME = {"page_id": {"S": "home"}, "activity_dt": {"S": "2026-01-01"}}


def rejection_of(action, *arguments, **options):
    with pytest.raises(RejectedChange) as caught:
        action(*arguments, **options)
    return [(reason.rule, reason.path) for reason in caught.value.reasons]


def test_a_put_fills_every_column():
    assert CLICKS.row(click_change(version=7)) == Row(
        deleted=False,
        version=7,
        fields=(
            "home",
            "2026-01-01",
            str(CREATED_AT * 1000),
            "3",
            "2026-01-01 10:00",
            "2026-01-01 10:05",
            "DE",
        ),
    )


def test_a_delete_has_its_keys_and_nothing_else():
    row = CLICKS.row(Change(8, CREATED_AT * 1000, HOME, None))
    assert row == Row(deleted=True, version=8, fields=("home", "2026-01-01", None, None, None, None, None))


def without(*path):
    payload = click()
    *parents, last = path
    place = payload
    for name in parents:
        place = place[name]
    del place[last]
    return payload


@pytest.mark.parametrize(
    ("payload", "reasons"),
    [
        pytest.param("hello", [("json", "payload")], id="payload that is not JSON"),
        pytest.param('{"Hits": NaN}', [("json", "payload")], id="payload with NaN"),
        pytest.param('{"Hits": Infinity}', [("json", "payload")], id="payload with Infinity"),
        pytest.param("[" * 50_000, [("json", "payload")], id="payload nested deep"),
        pytest.param("null", [("type", "payload")], id="payload is null"),
        pytest.param(without("session"), [("required", "payload")], id="missing field"),
        pytest.param(without("device", "location", "country"), [("required", "payload.device.location")], id="deeper"),
        pytest.param(click(Hits="3"), [("type", "payload.Hits")], id="wrong type"),
        pytest.param(click(Hits=1.5), [("type", "payload.Hits")], id="fraction for a whole number"),
        pytest.param(click(Hits=True), [("type", "payload.Hits")], id="boolean for a number"),
        pytest.param(click(Hits=2**31), [("range", "payload.Hits")], id="number out of range"),
        pytest.param(click(Hits=10**37), [("range", "payload.Hits")], id="number of 38 digits"),
        pytest.param(
            json.dumps(click()).replace('"Hits": 3', '"Hits": 1e999999'), [("type", "payload.Hits")], id="1e999999"
        ),
        pytest.param(
            click(session=click()["session"] | {"start_timestamp": "x" * 65}),
            [("length", "payload.session.start_timestamp")],
            id="too long a value",
        ),
        pytest.param(
            click(session=click()["session"] | {"start_timestamp": "\ud800"}),
            [("unicode", "payload.session.start_timestamp")],
            id="lone surrogate",
        ),
        pytest.param(
            click(Hits=None, session=None), [("type", "payload.Hits"), ("type", "payload.session")], id="all at once"
        ),
    ],
)
def test_a_payload_that_the_mapping_refuses(payload, reasons):
    assert sorted(rejection_of(CLICKS.row, click_change(payload))) == sorted(reasons)


@pytest.mark.parametrize(
    ("payload", "hits"),
    [
        pytest.param(json.dumps(click()).replace('"Hits": 3', '"Hits": 1, "Hits": 2'), "2", id="repeated name"),
        pytest.param(json.dumps(click()).replace('"Hits": 3', '"Hits": 3.0'), "3", id="whole number with a point"),
        pytest.param(
            json.dumps(click()).replace('"Hits": 3', '"Hits": 3e2'), "300", id="whole number with an exponent"
        ),
        pytest.param(click(unknown={"a": 1}), "3", id="unknown attribute under ignore"),
    ],
)
def test_a_payload_that_the_mapping_accepts(payload, hits):
    assert CLICKS.row(click_change(payload)).fields[3] == hits


def test_nul_in_text_is_text():
    item = click_item(click(session=click()["session"] | {"start_timestamp": "a\0b"}))
    assert CLICKS.row(Change(1, 0, HOME, item)).fields[4] == "a\0b"


@pytest.mark.parametrize(
    ("keys", "reasons"),
    [
        pytest.param({"page_id": {"S": "home"}}, [("key", "activity_dt")], id="sort key missing"),
        pytest.param(HOME | {"page_id": {"NULL": True}}, [("key", "page_id")], id="null key"),
        pytest.param(HOME | {"page_id": {"S": "x" * 256}}, [("length", "page_id")], id="key too long"),
        pytest.param(HOME | {"page_id": {"S": "\ud800"}}, [("unicode", "page_id")], id="lone surrogate in a key"),
        pytest.param(HOME | {"page_id": {"M": {}}}, [("type", "page_id")], id="key of no key type"),
    ],
)
def test_keys_that_no_row_can_have_are_refused_for_deletes_and_puts(keys, reasons):
    assert rejection_of(CLICKS.row, Change(1, 0, keys, None)) == reasons
    if reasons[0][0] != "type":  # of a put, the schema speaks first
        assert rejection_of(CLICKS.row, Change(1, 0, keys, {"payload": click_item()["payload"]} | keys)) == reasons


DETAILS = {"M": {"known": {"N": "1"}, "other": {"S": "x"}}}


def unmapped_mapping(unmapped, schema=True):
    return make_mapping(column("known", "INT", "details.known"), unmapped=unmapped, schema=schema)


def test_unknown_attributes_are_left_out_under_ignore():
    assert map_item(unmapped_mapping("ignore"), details=DETAILS, more={"N": "2"}).fields == ("a", "1")


def test_unknown_attributes_are_refused_by_path_under_reject():
    mapping = unmapped_mapping("reject", {"properties": {"details": {"properties": {"known": {}}}}})
    assert rejection_of(map_item, mapping, details=DETAILS, more={"N": "2"}) == [
        ("unmapped", "details.other"),
        ("unmapped", "more"),
    ]


def test_what_the_schema_names_is_not_unknown_under_reject():
    mapping = unmapped_mapping("reject", {"properties": {"details": {"properties": {"other": {}}}}})
    assert map_item(mapping, details=DETAILS).fields == ("a", "1")


def test_unknown_attributes_go_to_their_column():
    fields = map_item(unmapped_mapping({"column": "extra"}), details=DETAILS, more={"N": "2"}).fields
    assert fields[:2] == ("a", "1")
    assert json.loads(fields[2]) == {"details": {"other": "x"}, "more": 2}


def test_the_column_of_unknown_attributes_is_null_without_any():
    assert map_item(unmapped_mapping({"column": "extra"}), details={"M": {"known": {"N": "1"}}}).fields[2] is None


def test_an_unknown_attribute_that_json_cannot_hold_is_refused():
    assert rejection_of(map_item, unmapped_mapping({"column": "extra"}), more={"S": "\ud800"}) == [
        ("unicode", "@unmapped")
    ]


@pytest.mark.parametrize(
    ("attributes", "field"),
    [
        pytest.param({}, None, id="absent"),
        pytest.param({"text": {"NULL": True}}, None, id="null"),
        pytest.param({"text": {"S": ""}}, "", id="empty string"),
        pytest.param({"text": {"S": r"\N"}}, r"\N", id="literal backslash N"),
    ],
)
def test_null_absent_and_empty_stay_distinct_in_text(attributes, field):
    assert map_item(make_mapping(column("text", "VARCHAR(9)")), **attributes).fields[1] == field


@pytest.mark.parametrize(
    ("attributes", "field"),
    [({}, None), ({"doc": {"NULL": True}}, "null"), ({"doc": {"S": ""}}, '""'), ({"doc": {"M": {}}}, "{}")],
    ids=["absent", "null", "empty string", "empty map"],
)
def test_null_absent_and_empty_stay_distinct_in_json(attributes, field):
    assert map_item(make_mapping(column("doc", "JSON")), **attributes).fields[1] == field


def test_sets_and_binary_become_json():
    fields = map_item(
        make_mapping(column("tags", "JSON"), column("data", "JSON"), column("raw", "BLOB", "data")),
        tags={"SS": ["b", "a"]},
        data={"B": "AAH/"},
    ).fields
    assert fields[1:] == ('["a","b"]', '"AAH/"', "AAH/")


@pytest.mark.parametrize(
    ("expression", "field"),
    [
        ("a.b", "1"),
        ("a.c", None),
        ("list[1]", "2"),
        ("a.b || list[0]", "1"),
        ("a.c || list[0]", "5"),
        ("length(list)", "2"),
        ('"user-id"', "7"),
    ],
)
def test_columns_take_their_values_by_jmespath(expression, field):
    row = map_item(
        make_mapping(column("value", "INT", expression)),
        a={"M": {"b": {"N": "1"}}},
        text={"S": "x"},
        list={"L": [{"N": "5"}, {"N": "2"}]},
        **{"user-id": {"N": "7"}},
    )
    assert row.fields[1] == field


def test_an_expression_without_a_value_refuses_the_record():
    mapping = make_mapping(column("value", "INT", "length(number)"))
    assert rejection_of(map_item, mapping, number={"N": "1"}) == [("expression", "length(number)")]


def test_a_key_with_a_quoted_name_is_found_in_puts_and_deletes():
    document = mapping_document()
    document["source"]["partition_key"] = "user-id"
    document["target"]["columns"][0]["from"] = '"user-id"'
    mapper = RowMapper(build_mapping("things", document))
    keys = {"user-id": {"S": "u"}}
    assert mapper.row(Change(1, 0, keys, keys)).fields == ("u",)
    assert mapper.row(Change(1, 0, keys, None)).fields == ("u",)


DIGITS_38 = "12345678901234567890123456789012345678"


@pytest.mark.parametrize(
    ("number", "multiple_of", "accepted"),
    [
        (DIGITS_38, 2, True),
        (DIGITS_38, 5, False),
        (f"{DIGITS_38[:37]}.5", 1, False),
        ("9.9E+125", 3, True),
        ("1E-130", 3, False),
    ],
)
def test_a_multiple_is_judged_exactly(number, multiple_of, accepted):
    mapping = make_mapping(schema={"properties": {"n": {"multipleOf": multiple_of}}})
    if accepted:
        map_item(mapping, n={"N": number})
    else:
        assert rejection_of(map_item, mapping, n={"N": number}) == [("multipleOf", "n")]


def test_a_number_that_cannot_be_judged_refuses_the_record_alone():
    mapping = make_mapping(schema={"properties": {"p": {"multipleOf": 3}}}, json_attributes=["p"])
    assert rejection_of(map_item, mapping, p={"S": "1e999999"}) == [("range", "")]


def test_an_item_nested_deeper_than_python_recurses_refuses_the_record_alone():
    attribute = {"S": "x"}
    for _ in range(5000):
        attribute = {"L": [attribute]}
    assert rejection_of(map_item, make_mapping(), deep=attribute) == [("depth", "")]


def test_a_fault_of_this_program_refuses_the_record_alone(monkeypatch):
    def fail(*_):
        raise KeyError("secret")

    mapper = RowMapper(make_mapping())
    monkeypatch.setattr(mapper, "_item_fields", fail)
    change = Change(1, 0, {"id": {"S": "a"}}, {"id": {"S": "a"}})
    with pytest.raises(RejectedChange) as caught:
        mapper.row(change)
    assert caught.value.problem == "item: raised KeyError, which is a fault of this program (unforeseen)."


@pytest.mark.parametrize(
    ("schema", "value", "reason"),
    [
        ({"format": "date-time"}, "yesterday", "text: is not of the format date-time (format)"),
        ({"type": ["integer", "null"]}, "1", "text: is a string, and the schema takes integer or null (type)"),
        ({"minLength": 5}, "abc", "text: breaks minLength: 5 (minLength)"),
        ({"enum": ["x" * 100]}, "abc", "text: breaks enum: "),
        (False, "abc", "item: is there, and the schema does not allow it (schema)"),
    ],
)
def test_a_reason_tells_rule_and_limit_and_never_the_value(schema, value, reason):
    mapping = make_mapping(schema={"properties": {"text": schema}})
    with pytest.raises(RejectedChange) as caught:
        map_item(mapping, text={"S": value})
    ((found),) = caught.value.reasons
    assert str(found).startswith(reason)
    assert len(str(found)) < 150
    assert value not in str(found)


def test_a_record_has_at_most_so_many_reasons():
    mapping = make_mapping(schema={"additionalProperties": {"type": "string"}})
    attributes = {f"a{index}": {"N": "1"} for index in range(MAX_REASONS + 5)}
    assert len(rejection_of(map_item, mapping, **attributes)) == MAX_REASONS


@pytest.mark.parametrize(
    ("key", "other", "same"),
    [
        pytest.param({"S": "a"}, {"S": "a"}, True, id="text"),
        pytest.param({"S": "a"}, {"S": "b"}, False, id="another text"),
        pytest.param({"N": "1"}, {"N": "1.0"}, True, id="a number spelled otherwise"),
        pytest.param({"N": "100"}, {"N": "1E+2"}, True, id="a number with an exponent"),
        pytest.param({"N": "0.10"}, {"N": ".1"}, True, id="a fraction"),
        pytest.param({"N": "0"}, {"N": "-0"}, True, id="nothing"),
        pytest.param({"N": "1"}, {"N": "1.00000000000000000000000000000000000001"}, False, id="38 digits"),
        pytest.param({"S": "1"}, {"N": "1"}, False, id="text and number"),
        pytest.param({"S": "AA=="}, {"B": "AA=="}, False, id="text and binary"),
        pytest.param({"B": "AA=="}, {"B": "AA=="}, True, id="binary"),
    ],
)
@pytest.mark.parametrize("kind", ["VARCHAR(60)", "VARBINARY(60)", "DECIMAL(38,2)"])
def test_keys_and_item_name_one_key(key, other, same, kind):
    document = mapping_document(column("n", "INT"))
    document["target"]["columns"][0]["type"] = kind
    mapping = build_mapping("things", document)
    change = Change(5, 0, {"id": key}, {"id": other, "n": {"N": "1"}})

    def row_of(change):
        try:
            return encode_row(RowMapper(mapping).row(change)), []
        except RejectedChange as error:
            return None, [str(reason) for reason in error.reasons]

    fits = row_of(Change(5, 0, {"id": other}, change.new_image))[0] is not None
    row, reasons = row_of(change)
    assert (row is not None) == (same and fits)
    if not same:
        assert reasons == ["id: is another in Keys than in NewImage (key)"]
    plainly = []
    written = RowWriter(mapping).write_changes(
        [encode_change(change)], lambda _: plainly.append(1) or (RowMapper(mapping).row(change) if row else None)
    )
    assert written == [row]
    if key != other:
        assert plainly, "compiled code leaves it to the plain modules"


def test_a_key_that_keys_leave_out_is_refused():
    change = Change(5, 0, {}, {"id": {"S": "a"}})
    assert rejection_of(RowMapper(make_mapping()).row, change) == [("key", "id")]


def both(mapping, **attributes):
    """Map an item plainly and by compiled code, which have to agree: its fields, or the reasons against it."""
    item = {"id": {"S": "a"}} | attributes
    change = Change(1, 0, {"id": item["id"]}, item)
    mapper = RowMapper(mapping)
    try:
        row = mapper.row(change)
        found = row.fields[1:]
    except RejectedChange as rejected:
        row, found = None, [str(reason) for reason in rejected.reasons]
    (line,) = RowWriter(mapping).write_changes([encode_change(change)], lambda _index: row)
    assert line == (None if row is None else encode_row(row))
    return found


OBJECT = {"payload": {"type": "object"}}


@pytest.mark.parametrize(
    ("schema", "attribute", "found"),
    [
        (True, {"S": json.dumps('{"x":1}')}, ["payload is a string, which has no x"]),
        (True, {"B": "eyJ4IjoxfQ=="}, ["payload is binary, which has no x"]),
        (True, {"S": '[{"x":1}]'}, ["payload is an array, which has no x"]),
        (True, {"N": "5"}, ["payload is a number, which has no x"]),
        (True, {"BOOL": False}, ["payload is a boolean, which has no x"]),
        (True, {"NULL": True}, (None,)),
        (True, {"S": "null"}, (None,)),
        (True, {"S": "{}"}, (None,)),
        (True, {"S": '{"x": null}'}, (None,)),
        (True, {"M": {"x": {"N": "1"}}}, ("1",)),
        ({"type": ["object", "array"]}, {"S": '[{"x":1}]'}, (None,)),
        ({"type": ["object", "array"]}, {"S": "5"}, None),
        ({"type": ["object", "string"]}, {"S": '"x"'}, (None,)),
        ({"type": ["object", "integer", "null"]}, {"S": "5"}, (None,)),
        ({"type": "array"}, {"S": "[]"}, ["payload is an array, which has no x"]),
    ],
)
def test_a_value_that_is_there_and_cannot_be_reached_is_refused(schema, attribute, found):
    document = {"properties": {"payload": schema}}
    mapping = make_mapping(column("x", "INT", "payload.x"), schema=document, json_attributes=["payload"])
    reasons = both(mapping, payload=attribute)
    if isinstance(found, list):
        assert reasons == [f"payload.x: has no value: {found[0]} (expression)"]
    elif found is None:
        assert reasons[0].startswith("payload: is a number")
    else:
        assert reasons == found


@pytest.mark.parametrize(
    ("source", "attributes", "name"),
    [
        ("user.name", {"user.name": {"S": "Jo"}}, "user.name"),
        ("user.name.first", {"user": {"M": {"name.first": {"S": "Jo"}}}}, "name.first"),
        ("user.name.first", {"user.name": {"M": {"first": {"S": "Jo"}}}}, "user.name"),
        ("payload.user.name", {"payload": {"S": '{"user.name": "Jo"}'}}, "user.name"),
    ],
)
def test_an_attribute_with_points_in_its_name_is_told_how_it_is_written(source, attributes, name):
    mapping = make_mapping(column("n", "VARCHAR(9)", source), json_attributes=["payload"])
    for _ in range(2):
        (reason,) = both(mapping, **attributes)
        assert f'it is written "{name}", with quotes' in reason


def test_a_path_that_leads_on_is_not_held_up_by_a_name_with_points():
    mapping = make_mapping(column("n", "VARCHAR(9)", "user.name"))
    user = {"M": {"name": {"S": "Jo"}}}
    assert both(mapping, user=user, **{"user.name": {"S": "other"}}) == ("Jo",)
    assert both(mapping, **{"first.name": {"S": "Jo"}}) == (None,)


@pytest.mark.parametrize(
    ("kind", "default", "attribute", "field"),
    [
        ("INT", 7, None, "7"),
        ("INT", 7, {"N": "1"}, "1"),
        ("INT", 7, {"NULL": True}, None),
        ("VARCHAR(9)", "none", None, "none"),
        ("VARCHAR(9)", "none", {"S": ""}, ""),
        ("VARCHAR(9)", "a,\n\\", None, "a,\n\\"),
        ("VARCHAR(9)", "\x1d\x1e\x1f", None, "\x1d\x1e\x1f"),
        ("BOOLEAN", False, None, "0"),
        ("BLOB", "x", None, "eA=="),
        ("JSON", [], None, "[]"),
        ("JSON", [], {"NULL": True}, "null"),
        ("DATETIME", "2026-01-01", None, "2026-01-01 00:00:00"),
    ],
)
@pytest.mark.parametrize("schema", ["typed", "nullable", "open"])
def test_a_default_stands_for_what_is_not_there(kind, default, attribute, field, schema):
    types = {"INT": "integer", "BOOLEAN": "boolean", "JSON": "array"}.get(kind, "string")
    if schema == "typed" and attribute == {"NULL": True}:
        return
    properties = {"open": True, "typed": {"type": types}, "nullable": {"type": [types, "null"]}}[schema]
    mapping = make_mapping(column("v", kind) | {"default": default}, schema={"properties": {"v": properties}})
    assert both(mapping, **({} if attribute is None else {"v": attribute})) == (field,)


@pytest.mark.parametrize(
    ("source", "payload", "field"),
    [
        ("payload.a", "{}", "7"),
        ("payload.a", '{"a": null}', None),
        ("payload.a", '{"a": 1}', "1"),
        ("payload.b.c", "{}", "7"),
        ("payload.b.c", '{"b": null}', "7"),
        ("payload.b.c", "null", "7"),
        ("payload.a || payload.z", '{"a": null}', "7"),
        ('"payload".a', '{"a": null}', "7"),
    ],
)
@pytest.mark.parametrize("types", ["integer", ["integer", "null"], ["integer", "string", "null"]])
def test_a_default_stands_for_what_embedded_json_does_not_have(source, payload, field, types):
    if types == "integer" and '"a": null' in payload:
        return
    schema = {"payload": {"type": ["object", "null"], "properties": {"a": {"type": types}, "b": {}}}}
    mapping = make_mapping(
        column("v", "INT", source) | {"default": 7}, schema={"properties": schema}, json_attributes=["payload"]
    )
    assert both(mapping, payload={"S": payload}) == (field,)


def test_a_delete_has_no_defaults():
    mapping = make_mapping(column("v", "INT") | {"default": 7})
    assert RowMapper(mapping).row(Change(1, 0, {"id": {"S": "a"}}, None)).fields == ("a", None)


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        ("ORDER#17", ("17", "ORDER")),
        ("ORDER#17#x", ("17", "ORDER")),
        ("ORDER", (None, "ORDER")),
        ("ORDER#x", ["to_number(split(id, '#')[1]): has no value: to_number() is given text of 1 characters that is"]),
        ("ORDER#", ["to_number(split(id, '#')[1]): has no value: to_number() is given text of 0 characters that is"]),
    ],
)
def test_a_key_of_a_single_table_design_is_taken_apart(key, fields):
    mapping = make_mapping(
        column("number", "BIGINT", "to_number(split(id, '#')[1])"), column("kind", "VARCHAR(9)", "split(id, '#')[0]")
    )
    found = both(mapping, id={"S": key})
    assert found == fields if isinstance(fields, tuple) else found[0].startswith(fields[0])


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("lower(v)", "lower() takes string or null, and is given a value of type number"),
        ("sum(absent)", "sum() takes array of number, and is given nothing"),
        ("sum([v, id])", "sum() takes array of number, and is given an array with a string in it"),
        ("join('', [{a: v}])", "join() takes array of string, and is given an array with an object in it"),
        ("id[1:]", "comes upon a string, which has no elements: substring() cuts text"),
    ],
)
def test_an_expression_without_a_value_says_why(source, reason):
    assert both(make_mapping(column("x", "VARCHAR(9)", source)), v={"N": "5"}) == [
        f"{source}: has no value: {reason} (expression)"
    ]


def test_the_time_of_the_change_is_a_time():
    mapping = make_mapping(column("at", "DATETIME(3)", "@changed_at_ms") | {"epoch": "ms"})
    row = map_item(mapping)
    assert row.fields[1] == "2023-11-14 22:13:20"
