"""Which AWS calls each function can make, read from the code: a call graph with mypy's types.

A method is followed to the class that its object is of, and a protocol's to every class that has its methods. A name
that is merely mentioned counts as called, so what is found here is everything that a function can do, and seldom more.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, Final

from mypy import build, nodes
from mypy.modulefinder import BuildSource
from mypy.options import Options
from mypy.types import CallableType, Instance, Type, TypeType, UnionType, get_proper_type

from tests.infrastructure.deployment import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CLIENT: Final = "dynaurora.aws.sdk.client"
PACKAGES: Final = ("dynaurora", "lambdas")
PAGINATOR: Final = "get_paginator"
TAGGING: Final = "Tagging"
"""The argument with which an object is put and tagged at once, for which both have to be allowed."""
HANDLER: Final = "lambda_handler"
WITH_METHODS: Final = ("__enter__", "__exit__")
CONSTRUCTORS: Final = ("__init__", "__post_init__")
NO_PARTS: Final = {"analyzed", "expanded", "info", "node", "original_def", "type"}
"""Attributes of mypy's nodes that lead to what a node is about, and not to what it is made of."""

ACTIONS_OF_CALLS: Final = {
    "lambda:Invoke": ["lambda:InvokeFunction"],
    "s3:AbortMultipartUpload": ["s3:AbortMultipartUpload"],
    "s3:CompleteMultipartUpload": ["s3:PutObject"],
    "s3:CopyObject": ["s3:GetObject", "s3:PutObject"],
    "s3:CreateMultipartUpload": ["s3:PutObject"],
    "s3:DeleteObjects": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
    "s3:GetBucketEncryption": ["s3:GetEncryptionConfiguration"],
    "s3:HeadObject": ["s3:GetObject"],
    "s3:ListObjectVersions": ["s3:ListBucketVersions"],
    "s3:ListObjectsV2": ["s3:ListBucket"],
    "s3:UploadPart": ["s3:PutObject"],
}
"""Calls whose action has another name (Amazon S3 User Guide, "Required permissions for Amazon S3 API operations")."""
PREFIXES_OF_SERVICES: Final = {"stepfunctions": "states"}
"""Services that IAM knows by another name than the SDK."""


def find_actions(function: str) -> set[str]:
    """The actions that a function's code, `lambdas/<function>.py`, can ask AWS for."""
    graph = _read_graph()
    found, waiting = set[str](), [f"lambdas.{function}", f"lambdas.{function}.{HANDLER}"]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph.mentions[name]
    return {action for name in found for action in graph.actions[name]}


def actions_of(service: str, call: str) -> list[str]:
    """The actions that a call of the SDK needs, `("s3", "head_object")` for one."""
    prefix = PREFIXES_OF_SERVICES.get(service, service)
    name = f"{prefix}:{''.join(word.capitalize() for word in call.split('_'))}"
    return ACTIONS_OF_CALLS.get(name, [name])


class _Graph:
    """What each function and module of the code mentions, and which actions it asks for itself."""

    def __init__(self) -> None:
        self.mentions: defaultdict[str, set[str]] = defaultdict(set)
        self.actions: defaultdict[str, set[str]] = defaultdict(set)


class _Reader:
    """Reads modules into the graph."""

    def __init__(self, graph: _Graph, types: Mapping[nodes.Expression, Type], classes: list[nodes.TypeInfo]) -> None:
        self._graph = graph
        self._types = types
        self._classes = classes
        self._owners = {info.fullname for info in classes}

    def read(self, node: nodes.Node, scope: str) -> None:
        """Note what a node and what is in it mention, for the function or module that it is in."""
        if isinstance(node, nodes.FuncDef) and node.fullname.rpartition(".")[0] in {*self._owners, scope}:
            scope = node.fullname  # any other function belongs to the one that it is in
        elif isinstance(node, nodes.MemberExpr):
            self._read_member(node, scope)
        elif isinstance(node, nodes.NameExpr):
            self._mention(node.node, scope)
        elif isinstance(node, nodes.CallExpr):
            self._read_paginator(node, scope)
            self._read_tagging(node, scope)
        elif isinstance(node, nodes.WithStmt):
            for info in (info for expression in node.expr for info in self._infos(expression)):
                for name in WITH_METHODS:
                    self._mention_method(info, name, scope)
        for part in list_parts(node):
            self.read(part, scope)

    def _read_member(self, node: nodes.MemberExpr, scope: str) -> None:
        self._ask(node.expr, node.name, scope)
        self._mention(node.node, scope)
        for info in self._infos(node.expr):
            self._mention_method(info, node.name, scope)

    def _read_paginator(self, node: nodes.CallExpr, scope: str) -> None:
        if isinstance(node.callee, nodes.MemberExpr) and node.callee.name == PAGINATOR:
            (call,) = node.args
            assert isinstance(call, nodes.StrExpr), "a call is named where it is made"
            self._ask(node.callee.expr, call.value, scope)

    def _read_tagging(self, node: nodes.CallExpr, scope: str) -> None:
        if isinstance(node.callee, nodes.MemberExpr) and node.callee.name == "put_object" and TAGGING in node.arg_names:
            self._ask(node.callee.expr, "put_object_tagging", scope)

    def _ask(self, client: nodes.Expression, call: str, scope: str) -> None:
        """Note what is asked for by `sdk.client("service").call`."""
        if not (isinstance(client, nodes.CallExpr) and isinstance(client.callee, nodes.RefExpr)):
            return
        if client.callee.fullname == CLIENT and call != PAGINATOR:
            (service,) = client.args
            assert isinstance(service, nodes.StrExpr), "a service is named where it is called"
            self._graph.actions[scope].update(actions_of(service.value, call))

    def _mention(self, node: nodes.SymbolNode | None, scope: str) -> None:
        if isinstance(node, nodes.Decorator):
            node = node.func
        if isinstance(node, nodes.FuncDef):
            self._graph.mentions[scope].add(node.fullname)
        elif isinstance(node, nodes.TypeInfo):
            for name in CONSTRUCTORS:
                self._mention_method(node, name, scope)

    def _mention_method(self, info: nodes.TypeInfo, name: str, scope: str) -> None:
        for owner in self._implementations(info):
            symbol = owner.get(name)
            if symbol is not None:
                self._mention(symbol.node, scope)

    def _implementations(self, info: nodes.TypeInfo) -> Iterator[nodes.TypeInfo]:
        """Yield a class and those below it; of a protocol, every class that has what it asks for."""
        wanted = info.protocol_members if info.is_protocol else None
        for other in self._classes:
            if info in other.mro or (wanted is not None and all(other.get(member) for member in wanted)):
                yield other

    def _infos(self, expression: nodes.Expression) -> Iterator[nodes.TypeInfo]:
        """Yield the classes that an expression's value may be of, or that it is."""
        waiting = [self._types.get(expression)]
        while waiting:
            kind = get_proper_type(waiting.pop())
            if isinstance(kind, UnionType):
                waiting += kind.items
            elif isinstance(kind, TypeType):
                waiting.append(kind.item)
            elif isinstance(kind, CallableType) and kind.is_type_obj():
                yield kind.type_object()
            elif isinstance(kind, Instance):
                yield kind.type


def list_parts(node: nodes.Node) -> Iterator[nodes.Node]:
    """Yield the nodes within a node. mypy's own visitors are compiled, and take no subclass that is not."""
    for name in getattr(type(node), "__mypyc_attrs__", ()):
        if name not in NO_PARTS:
            yield from _list_nodes(getattr(node, name, None))


def _list_nodes(value: object) -> Iterator[nodes.Node]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _list_nodes(item)
    elif isinstance(value, (nodes.Expression, nodes.Statement, nodes.Argument, nodes.FuncItem)):
        yield value


@cache
def _read_graph() -> _Graph:
    result = build.build(list(_list_sources()), _options())
    assert not result.errors, result.errors
    files = [result.files[name] for name in result.files if name.split(".")[0] in PACKAGES]
    classes = [
        symbol.node
        for file in files
        for symbol in file.names.values()
        if isinstance(symbol.node, nodes.TypeInfo) and symbol.node.fullname.startswith(f"{file.fullname}.")
    ]
    graph = _Graph()
    reader = _Reader(graph, result.types, classes)
    for file in files:
        for statement in file.defs:
            reader.read(statement, file.fullname)
    return graph


def _list_sources() -> Iterator[BuildSource]:
    for package in PACKAGES:
        for path in sorted((PROJECT / package).rglob("*.py")):
            parts = path.relative_to(PROJECT).with_suffix("").parts
            yield BuildSource(str(path), ".".join(part for part in parts if part != "__init__"))


def _options() -> Options:
    """Options with which mypy keeps the types of expressions; other packages' code is not looked into."""
    options = Options()
    options.export_types = options.preserve_asts = options.ignore_missing_imports = True
    options.incremental = False
    options.follow_imports = "skip"
    options.python_version = sys.version_info[:2]
    options.mypy_path = [str(PROJECT)]
    return options
