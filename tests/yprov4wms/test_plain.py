"""Any value becomes JSON, bounded, and nothing that it does can hurt."""

from __future__ import annotations

import enum
import math
from collections import OrderedDict
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yprov4wms.plain import DEPTH_LIMIT, ITEM_LIMIT, TEXT_LIMIT, plain, text

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
_anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.binary()
    | st.text(st.characters())  # lone surrogates included
    | st.decimals()
    | st.dates()
    | st.builds(lambda: 10**6000)
    | st.from_type(type),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(st.characters()) | st.integers() | st.none(), inner, max_size=5)
        | st.frozensets(st.integers() | st.text())
    ),
)


class Hostile:
    """Every way to look at it raises."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("hostile")

    def __str__(self) -> str:
        raise RuntimeError("hostile")

    __repr__ = __str__


class HostileDict(dict[str, int]):
    def items(self) -> Any:
        raise OSError("gone")


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@given(_json.filter(lambda value: depth(value) <= DEPTH_LIMIT))
def test_what_is_json_stays_as_it_is(value: Any) -> None:
    assert plain(value) == value
    assert type(plain(value)) is type(value)


@given(_anything)
def test_anything_becomes_json_that_reads_back_equal(value: Any) -> None:
    found = plain(value)
    assert msgspec.json.decode(msgspec.json.encode(found)) == found


def test_a_value_that_raises_when_looked_at_says_so() -> None:
    found = plain({"a": Hostile(), "b": [HostileDict(a=1)], "c": 1})
    assert found["c"] == 1
    assert "RuntimeError" in found["a"]
    assert "OSError" in found["b"][0]


def test_a_circle_ends() -> None:
    circle: dict[str, Any] = {}
    circle["me"] = circle
    assert depth(plain(circle)) == DEPTH_LIMIT
    ring: list[Any] = []
    ring.append(ring)
    assert depth(plain(ring)) == DEPTH_LIMIT


def test_long_text_is_cut_and_says_so() -> None:
    found = plain("é" * (TEXT_LIMIT + 1))
    assert found.startswith("é" * TEXT_LIMIT + "...")
    assert str(TEXT_LIMIT + 1) in found
    assert plain("e" * TEXT_LIMIT) == "e" * TEXT_LIMIT


def test_long_collections_are_cut_and_say_so() -> None:
    many = list(range(ITEM_LIMIT + 5))
    assert plain(many) == [*range(ITEM_LIMIT), f"... ({ITEM_LIMIT + 5} items)"]
    found = plain({str(n): n for n in many})
    assert len(found) == ITEM_LIMIT + 1
    assert found["..."] == f"{ITEM_LIMIT + 5} items"
    assert plain(many[:ITEM_LIMIT]) == many[:ITEM_LIMIT]


def test_keys_that_read_the_same_are_all_kept() -> None:
    found = plain({1: "a", "1": "b", None: "c", "None": "d"})
    assert sorted(found.values()) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Path("a/b"), "a/b"),
        (PurePosixPath("/x"), "/x"),
        (Path("caf\udce9"), "caf\\udce9"),
        ({3, 1, 2}, [1, 2, 3]),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "nan"),
        (2**80, 2**80),
        (enum.IntEnum("Level", "LOW HIGH").HIGH, 2),
        (enum.StrEnum("Mode", "FAST").FAST, "fast"),
        (enum.Enum("Colour", "RED").RED, "Colour.RED"),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (b"\xff", "b'\\xff'"),
        (True, True),
    ],
)
def test_values_of_other_types(value: object, expected: object) -> None:
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)


def test_an_integer_too_long_for_python_to_write_is_hexadecimal() -> None:
    number = 10**6000
    assert plain([number]) == [text(hex(number))]


def test_subclasses_of_str_and_int_become_plain_ones() -> None:
    class Text(str):
        __slots__ = ()

    class Number(int):
        pass

    assert type(plain(Text("x"))) is str
    assert type(plain(Number(1))) is int


def test_a_scalar_of_numpy_is_a_number() -> None:
    numpy = pytest.importorskip("numpy")
    found = plain({"i": numpy.int64(3), "f": numpy.float32(0.5), "b": numpy.bool_(True)})
    assert found == {"i": 3, "f": 0.5, "b": True}
    assert {type(value) for value in found.values()} == {int, float, bool}
    assert plain(numpy.array(7)) == 7


def test_lone_surrogates_become_escapes_and_other_text_stays() -> None:
    assert text("naïve 数") == "naïve 数"
    assert text("\ud800 and \udcff") == "\\ud800 and \\udcff"
