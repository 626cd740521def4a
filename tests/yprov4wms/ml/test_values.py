"""Events as JSON, whatever is in them."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import enum
import json
import pathlib

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yprov4wms.events import AnyEvent
from yprov4wms.ml._values import encode

decode = msgspec.json.Decoder(AnyEvent).decode


def through(value):
    """What a strict reader makes of a parameter's value."""
    line = encode({"kind": "ml-param", "name": "p", "value": value})
    assert b"\n" not in line
    return decode(line).value


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=30,
)


@given(trees)
def test_json_values_come_back_the_same(value):
    assert through(value) == value


@given(st.text(st.characters()))
def test_any_text_can_be_read_back(text):
    read = through(text)
    assert read == text or any("\ud800" <= c <= "\udfff" for c in text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ([1.0, float("inf")], [1.0, "inf"]),
        ("caf\udce9", "caf\\udce9"),
        ({1: "a", None: "b", (1, 2): "c"}, {"1": "a", "None": "b", "(1, 2)": "c"}),
        ((1, 2), [1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        pytest.param(10**5000, hex(10**5000), id="5001 digits"),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.longdouble(1), repr(np.longdouble(1))),
        (np.arange(3), [0, 1, 2]),
        ([np.float64("nan"), np.int8(1)], ["nan", 1]),
        (pathlib.PurePosixPath("a/b"), "a/b"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (argparse.Namespace(lr=0.1), {"lr": 0.1}),
        (enum.Enum("Phase", "TRAIN").TRAIN, 1),
        (b"\xff", "b'\\xff'"),
        (dict, "builtins.dict"),
        (len, "builtins.len"),
    ],
)
def test_what_json_has_not_becomes_what_is_nearest(value, expected):
    assert through(value) == expected


def test_dataclasses_are_kept_by_field():
    @dataclasses.dataclass
    class Config:
        lr: float = 0.1
        layers: tuple[int, ...] = (64, 32)

    assert through({"config": Config()}) == {"config": {"lr": 0.1, "layers": [64, 32]}}


def test_long_arrays_are_abbreviated():
    assert through(np.zeros(100_000)) == "array([0., 0., 0., ..., 0., 0., 0.], shape=(100000,))"


def test_cycles_and_depth_end():
    cycle: list[object] = []
    cycle.append(cycle)
    assert "..." in json.dumps(through(cycle))
    deep: object = 0
    for _ in range(100_000):
        deep = [deep]
    assert through(deep)


def test_objects_that_fail_are_told_by_class():
    class Broken:
        def __repr__(self):
            raise ValueError

        @property
        def isoformat(self):
            raise KeyError

    assert through(Broken()).endswith("Broken, whose repr fails>")
