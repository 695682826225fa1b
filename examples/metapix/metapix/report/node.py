"""A value of a JSON file with its place in it, so that each complaint can say where."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from metapix.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Node:
    """A value of the file with its place in it, so that each complaint can say where."""

    value: Any
    file: str
    place: str

    def fail(self, problem: str) -> NoReturn:
        where = f", {self.place}" if self.place else ""
        raise InputError(f"{self.file}{where}: {problem}. Correct it, or run the evaluation again to write a fresh one")

    def expect(self, kind: type | tuple[type, ...], words: str) -> None:
        if not isinstance(self.value, kind) or isinstance(self.value, bool):
            shown = json.dumps(self.value)[:60]
            self.fail(f"expected {words}, found {shown}")

    def optional(self, key: str) -> Node | None:
        self.expect(dict, "an object")
        value = self.value.get(key)
        return None if value is None else Node(value, self.file, f"{self.place}.{key}".lstrip("."))

    def child(self, key: str) -> Node:
        node = self.optional(key)
        if node is None:
            self.fail(f'"{key}" is missing')
        return node

    def each(self, read: Callable[[Node], T]) -> tuple[T, ...]:
        self.expect(list, "a list")
        return tuple(read(Node(value, self.file, f"{self.place}[{index}]")) for index, value in enumerate(self.value))

    def optional_each(self, key: str, read: Callable[[Node], T]) -> tuple[T, ...]:
        node = self.optional(key)
        return node.each(read) if node else ()

    def optional_pairs(self, key: str, read: Callable[[Node], T]) -> tuple[tuple[str, T], ...]:
        """The names and values of an object, in the file's order; nothing where it is not there."""
        node = self.optional(key)
        if node is None:
            return ()
        node.expect(dict, "an object")
        return tuple((name, read(Node(value, node.file, f"{node.place}.{name}"))) for name, value in node.value.items())

    def as_text(self) -> str:
        self.expect(str, "a text")
        return str(self.value)

    def text(self, key: str, default: str | None = None) -> str:
        node = self.optional(key) if default is not None else self.child(key)
        return node.as_text() if node else str(default)

    def count(self, key: str) -> str:
        """K or T: a whole number, a word such as "all", or nothing."""
        node = self.optional(key)
        if node is None:
            return ""
        node.expect((int, str), "a whole number or a word")
        if isinstance(node.value, int) and abs(node.value) > 10**12:
            node.fail("the number is out of range")
        return str(node.value)

    def number(self) -> float:
        self.expect((int, float), "a number")
        if abs(self.value) > 1e300 and self.value not in (float("inf"), float("-inf")):
            self.fail("the number is out of range")
        return float(self.value)

    def finite(self) -> float:
        if not math.isfinite(self.number()):
            self.fail("expected a finite number")
        return self.number()

    def numbers(self, names: tuple[str, ...] | list[str], required: tuple[str, ...] = ()) -> dict[str, float]:
        """The named numbers that are there and not NaN; a required one may be null or NaN but not absent."""
        self.expect(dict, "an object")
        for name in required:
            if name not in self.value:
                self.fail(f'"{name}" is missing')
        nodes = {name: self.optional(name) for name in names}
        found = {name: node.number() for name, node in nodes.items() if node is not None}
        return {name: value for name, value in found.items() if not math.isnan(value)}
