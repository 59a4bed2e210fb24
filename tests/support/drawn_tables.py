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
    "seconds": (text(lambda n: moment(n).isoformat(" ", "seconds")), {"DATETIME"}),
    "zoned": (text(zoned), {"DATETIME"}),
    "expires_at": (number(lambda n: int(moment(n).timestamp())), {"DATETIME"}),
    "updatedAt": (number(lambda n: int(moment(n).timestamp() * 1000)), {"DATETIME"}),
    "x_us": (number(lambda n: int(moment(n).timestamp() * 10**6)), {"DATETIME"}),
    "json": (text(lambda n: json.dumps({"a": n.random(), "b": [1, None]})), {"JSON"}),
    "bytes": (lambda n: binary(n, 40), {"VARBINARY"}),
    "blobs": (lambda n: binary(n, 5000), {"BLOB"}),
    "maps": (lambda n: {"M": {"city": {"S": "x"}, "n": {"N": str(n.random())}}}, {"JSON"}),
    "lists": (lambda n: {"L": [{"N": "1"}, {"S": "a"}][: n.randint(0, 2)]}, {"JSON"}),
    "texts": (lambda n: {"SS": ["a", str(n.random())]}, {"JSON"}),
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


@dataclass(frozen=True)
class DrawnTable:
    """A table's columns, and what of its items may be missing."""

    columns: tuple[str, ...]
    absent: float
    nulls: float
    seed: int

    def items(self, count):
        numbers = random.Random(self.seed)
        for index in range(count):
            item = {"pk": {"S": f"{numbers.choice('abc')}{index}"}, "sk": {"N": str(index)}}
            for name in self.columns:
                if numbers.random() < self.absent:
                    continue
                make = UNIFORM[name][0] if name in UNIFORM else MIXED[name]
                item[f"the-{name}"] = {"NULL": True} if numbers.random() < self.nulls else make(numbers)
            yield item
