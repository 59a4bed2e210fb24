"""Tables of every kind: columns that are uniform, that are rarely there, and that contradict themselves."""

import base64
import datetime as dt
import gzip
import json
import random
import uuid
from dataclasses import dataclass

FIRST = dt.datetime(2019, 3, 1)


def moment(numbers):
    return FIRST + dt.timedelta(microseconds=numbers.randrange(250_000_000_000_000))


def zoned(numbers):
    zone = dt.timezone(dt.timedelta(minutes=numbers.choice((0, 60, 330, -480))))
    return moment(numbers).replace(tzinfo=zone).isoformat()


def week(numbers):
    return "{}-W{:02}-{}".format(*moment(numbers).isocalendar())


def nested(numbers, levels):
    kind = numbers.choice("MLSNBX" if levels else "SNX")
    if kind == "M":
        names = numbers.sample(("a", "größe", "a.b", "", "select"), numbers.randint(0, 3))
        return {"M": {name: nested(numbers, levels - 1) for name in names}}
    if kind == "L":
        return {"L": [nested(numbers, levels - 1) for _ in range(numbers.randint(0, 3))]}
    sets = {"SS": ["x", "y"]}, {"BS": ["AA==", "/w=="]}, {"NS": ["-1E-130", "9.9E125"]}
    return {
        "S": {"S": words(numbers, 3)},
        "N": {"N": str(numbers.getrandbits(120))},
        "B": {"B": "AAEC"},
        "X": numbers.choice(({"BOOL": True}, {"NULL": True}, *sets)),
    }[kind]


def words(numbers, most):
    return " ".join(
        numbers.choice(("plain", "größer", "日本", "a,b", "", "x\\y", "#")) for _ in range(numbers.randint(0, most))
    )


def tail(numbers):
    return "é" * min(300_000, int(numbers.lognormvariate(3, 0.7)))


def binary(numbers, most):
    return {"B": base64.b64encode(numbers.randbytes(numbers.randint(1, most))).decode()}


def text(make):
    return lambda numbers: {"S": make(numbers)}


def number(make):
    return lambda numbers: {"N": str(make(numbers))}


UNIFORM = {
    "counts": (number(lambda n: n.randint(0, 50)), {"BIGINT"}),
    "ids": (number(lambda n: n.randrange(10**12)), {"BIGINT"}),
    "signed": (number(lambda n: n.randrange(-(2**31), 2**31)), {"BIGINT"}),
    "wide": (number(lambda n: n.getrandbits(64)), {"DECIMAL(38,0)"}),
    "longest": (number(lambda n: n.randrange(10**37, 10**38)), {"DECIMAL(38,0)"}),
    "below_zero": (number(lambda n: -n.randrange(1, 10**9)), {"BIGINT"}),
    "least": (number(lambda n: -n.randrange(10**37, 10**38)), {"DECIMAL(38,0)"}),
    "zeros_and_ones": (number(lambda n: n.randint(0, 1)), {"BIGINT"}),
    "thousands": (number(lambda n: f"{n.randint(1, 9)}E+{n.randint(3, 12)}"), {"BIGINT"}),
    "huge": (number(lambda n: f"-{n.randint(1, 9)}.5E+{n.randint(90, 125)}"), {"VARCHAR(255)", "DOUBLE"}),
    "degrees": (number(lambda n: f"{n.uniform(-40, 50):.1f}"), {"DECIMAL"}),
    "exact": (number(lambda n: f"0.{n.randrange(10**37, 10**38)}"), {"VARCHAR(255)"}),
    "long_money": (number(lambda n: f"-{n.randrange(10**19)}.{n.randrange(10**8):08}"), {"DECIMAL"}),
    "python_time": (number(lambda n: repr(moment(n).timestamp())), {"DECIMAL"}),
    "money": (number(lambda n: f"{n.randrange(10**6) / 100}"), {"DECIMAL"}),
    "shares": (number(lambda n: repr(n.random())), {"DOUBLE"}),
    "geo": (number(lambda n: f"{n.uniform(-180, 180):.6f}"), {"DECIMAL"}),
    "tiny": (number(lambda n: f"{n.randint(1, 9)}E-{n.randint(100, 130)}"), {"DOUBLE", "VARCHAR(255)"}),
    "flags": (lambda n: {"BOOL": n.random() < 0.5}, {"BOOLEAN"}),
    "names": (text(lambda n: words(n, 4)), {"VARCHAR"}),
    "notes": (text(tail), {"VARCHAR", "TEXT"}),
    "uuids": (text(lambda n: str(uuid.UUID(int=n.getrandbits(128)))), {"VARCHAR"}),
    "states": (text(lambda n: n.choice(("OPEN", "PAID", "SENT"))), {"VARCHAR"}),
    "digits": (text(lambda n: f"{n.randrange(10**9):09}"), {"VARCHAR"}),
    "days": (text(lambda n: moment(n).date().isoformat()), {"DATE"}),
    "micros": (text(lambda n: moment(n).isoformat() + "Z"), {"DATETIME"}),
    "millis": (text(lambda n: moment(n).isoformat(timespec="milliseconds") + "Z"), {"DATETIME"}),
    "nanos": (text(lambda n: f"{moment(n).isoformat()}{n.randrange(1000):03}Z"), {"DATETIME"}),
    "minutes": (text(lambda n: moment(n).isoformat(timespec="minutes") + "+0100"), {"DATETIME"}),
    "packed": (
        lambda n: {"B": base64.b64encode(gzip.compress(json.dumps({"a": n.random()}).encode())).decode()},
        {"JSON"},
    ),
    "twice": (text(lambda n: json.dumps(json.dumps([n.random()]))), {"JSON"}),
    "basic": (text(lambda n: f"{moment(n):%Y%m%dT%H%M%SZ}"), {"DATETIME"}),
    "lower": (text(lambda n: moment(n).isoformat().lower() + "z"), {"DATETIME"}),
    "comma": (text(lambda n: f"{moment(n).isoformat(timespec='milliseconds')}+02".replace(".", ",")), {"DATETIME"}),
    "named_zone": (text(lambda n: f"{moment(n):%Y-%m-%dT%H:%M:%S}+01:00[Europe/Paris]"), {"DATETIME"}),
    "ticks": (text(lambda n: f"{moment(n).isoformat(timespec='microseconds')}{n.randrange(10)}"), {"DATETIME"}),
    "early": (text(lambda n: f"{n.randint(1000, 1969)}-{n.randint(1, 12):02}-{n.randint(1, 28):02}"), {"DATE"}),
    "weeks": (text(week), {"DATE"}),
    "plain_days": (text(lambda n: f"{moment(n):%Y%m%d}"), {"VARCHAR"}),
    "clocks": (text(lambda n: f"{moment(n):%H:%M:%S}"), {"VARCHAR", "TIME"}),
    "ulids": (text(lambda n: "01" + "".join(n.choices("0123456789ABCDEFGHJKMNPQRSTVWXYZ", k=24))), {"VARCHAR"}),
    "addresses": (text(lambda n: f"{words(n, 2)}@example.com"), {"VARCHAR"}),
    "true_or_false": (text(lambda n: n.choice(("true", "false"))), {"VARCHAR"}),
    "empty": (text(lambda _: ""), {"VARCHAR"}),
    "emoji": (text(lambda n: "👍🏽" * n.randint(0, 30)), {"VARCHAR"}),
    "json_numbers": (text(lambda n: str(n.randint(1, 9))), {"VARCHAR"}),
    "json_lists": (text(lambda n: json.dumps([n.random()] * n.randint(0, 3))), {"JSON"}),
    "json_binary": (
        lambda n: {"B": base64.b64encode(json.dumps({"ä": n.random()}).encode()).decode()},
        {"JSON"},
    ),
    "seconds": (text(lambda n: moment(n).isoformat(" ", "seconds")), {"DATETIME"}),
    "zoned": (text(zoned), {"DATETIME"}),
    "expires_at": (number(lambda n: int(moment(n).timestamp())), {"DATETIME"}),
    "updatedAt": (number(lambda n: int(moment(n).timestamp() * 1000)), {"DATETIME"}),
    "ttl": (number(lambda n: int(moment(n).timestamp())), {"DATETIME"}),
    "lastSeenNs": (number(lambda n: int(moment(n).timestamp() * 10**6) * 1000 + n.randrange(1000)), {"BIGINT"}),
    "x_us": (number(lambda n: int(moment(n).timestamp() * 10**6)), {"DATETIME"}),
    "json": (text(lambda n: json.dumps({"a": n.random(), "b": [1, None]})), {"JSON"}),
    "bytes": (lambda n: binary(n, 40), {"VARBINARY"}),
    "blobs": (lambda n: binary(n, 5000), {"BLOB"}),
    "maps": (lambda n: {"M": {"city": {"S": "x"}, "n": {"N": str(n.random())}}}, {"JSON"}),
    "lists": (lambda n: {"L": [{"N": "1"}, {"S": "a"}][: n.randint(0, 2)]}, {"JSON"}),
    "texts": (lambda n: {"SS": ["a", str(n.random())]}, {"JSON"}),
    "deep": (lambda n: {"M": {"any": nested(n, 5)}}, {"JSON"}),
    "binaries": (lambda n: {"BS": [binary(n, 9)["B"] for _ in range(n.randint(1, 3))]}, {"JSON"}),
    "numbers": (lambda n: {"NS": ["1", str(n.randint(2, 9))]}, {"JSON"}),
}
"""Name → what draws a value, and the types that it may be given."""

MIXED = {
    "texts_or_numbers": lambda n: n.choice(({"S": "a"}, {"N": "1.5"})),
    "rarely_text": lambda n: {"S": "none"} if n.random() < 0.05 else {"N": "7"},
    "mostly_times": lambda n: {"S": "never" if n.random() < 0.05 else moment(n).isoformat()},
    "mostly_json": lambda n: {"S": "" if n.random() < 0.05 else "{}"},
    "any": lambda n: n.choice(({"BOOL": True}, {"M": {}}, {"L": []}, {"B": "AA=="}, {"SS": ["x"]}, {"NULL": True})),
    "only_null": lambda _: {"NULL": True},
    "mostly_epochs": lambda n: {"N": str(n.choice((0, 1_700_000_000, 5)))},
    "days_or_times": lambda n: {"S": n.choice((moment(n).date().isoformat(), moment(n).isoformat()))},
    "local_or_zoned": lambda n: {"S": n.choice((zoned(n), moment(n).isoformat()))},
}


KEYS = {
    "text": lambda n, i: {"S": f"{n.choice('abc')}{i}"},
    "long": lambda n, i: {"S": f"{i}{'ä' * n.randint(0, 500)}"},
    "number": lambda _, i: {"N": str(i)},
    "fraction": lambda n, i: {"N": f"{i}.{n.randrange(1, 10**9):09}5"},
    "wide": lambda n, i: {"N": f"{n.choice('-,').strip(',')}{10**36 + i}"},
    "binary": lambda n, i: {"B": base64.b64encode(i.to_bytes(4, "big") + n.randbytes(n.randint(0, 40))).decode()},
    "moment": lambda n, i: {"S": f"{moment(n).isoformat()}#{i}"},
}
"""Name → what draws a key attribute's value, another one for each item."""
RESERVED = ("select", "Key", "key", "order", "_version", "_deleted", "rest", "group")
ODD = ('a.b "', "größe ", "1st", "👍", "$ref", "x" * 300, "`", "a'\\")
NAMES = {
    "plain": lambda name, _: f"the-{name}",
    "reserved": lambda name, place: RESERVED[place % 8] + ("" if place < 8 else name),
    "odd": lambda name, place: ODD[place % 8] + ("" if place < 8 else name),
}
"""Name → how attributes are named, by what they hold and their place."""
KINDS = ("USER", "ORDER", "ITEM", "AUDIT")


@dataclass(frozen=True)
class DrawnTable:
    """A table's columns, and what of its items may be missing."""

    columns: tuple[str, ...]
    absent: float
    nulls: float
    seed: int
    keys: tuple[str, ...] = ("text", "number")
    named: str = "plain"
    types: str = ""
    """How a single-table design tells its types: by the key's `prefix` or an `attribute`; "" for one type."""
    is_nested: bool = False
    """Whether attributes are members of a map."""

    @property
    def key_attributes(self):
        return ("pk", "sk")[: len(self.keys)]

    def name(self, column):
        return NAMES[self.named](column, self.columns.index(column))

    def items(self, count):
        numbers = random.Random(self.seed)
        for index in range(count):
            item = {name: KEYS[kind](numbers, index) for name, kind in zip(self.key_attributes, self.keys, strict=True)}
            place = numbers.randrange(len(KINDS)) if self.types else 0
            members = dict(self._members(numbers, place))
            item |= {"inner": {"M": members}} if self.is_nested else members
            if self.types == "attribute":
                item["entityType"] = {"S": KINDS[place]}
            elif self.types == "prefix":
                item["pk"] = {"S": f"{KINDS[place]}#{index}"}
            yield item

    def _members(self, numbers, place):
        for at, name in enumerate(self.columns):
            if (self.types and at % len(KINDS) != place) or numbers.random() < self.absent:
                continue
            make = UNIFORM[name][0] if name in UNIFORM else MIXED[name]
            yield self.name(name), {"NULL": True} if numbers.random() < self.nulls else make(numbers)
