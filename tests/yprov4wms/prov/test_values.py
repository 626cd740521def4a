"""Values and names in the forms that prov 1.5 to 3.2 read to the same thing."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prov.model import Literal, ProvDocument

from yprov4wms.prov._rules import literals
from yprov4wms.prov.attributes import figures, keyed
from yprov4wms.prov.values import attributes, hashed_name, literal, local_name, string
from yprov4wms.run import is_time

patient = settings(deadline=None)
LOCAL = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*(?<!\.)")
texts = st.text(st.characters(exclude_categories=["Cs"]))


def read(text: str) -> Any:
    """A value as the prov library reads it."""
    content = f'{{"prefix":{{"x":"http://x/"}},"entity":{{"x:e":{{"x:a":{text}}}}}}}'
    (record,) = ProvDocument.deserialize(content=content, format="json").get_records()
    ((_, value),) = record.attributes
    return value.value if isinstance(value, Literal) else value


@patient
@given(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
def test_a_value_is_read_as_what_it_was(value: Any) -> None:
    text = literal(value)
    assert list(literals.faults(json.loads(text), lambda name: None)) == []
    found = read(text)
    assert found == value
    assert isinstance(found, type(value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2**31 - 1, {"$": "2147483647", "type": "xsd:int"}),
        (2**31, {"$": "2147483648", "type": "xsd:long"}),
        (-(2**31), {"$": "-2147483648", "type": "xsd:int"}),
        (-(2**63), {"$": str(-(2**63)), "type": "xsd:long"}),
        (2**63, str(2**63)),
        (1e300, {"$": "1e+300", "type": "xsd:double"}),
        (0.1, {"$": "0.1", "type": "xsd:double"}),
        (math.inf, {"$": "INF", "type": "xsd:double"}),
        (-math.inf, {"$": "-INF", "type": "xsd:double"}),
        (math.nan, {"$": "NaN", "type": "xsd:double"}),
        (True, True),
        ([1, None, "é"], '[1,null,"é"]'),
        ({"a": {"b": 1.5}}, '{"a":{"b":1.5}}'),
        ([], "[]"),
        (None, "null"),
    ],
)
def test_a_value_of_each_kind(value: object, expected: object) -> None:
    assert json.loads(literal(value)) == expected


@patient
@given(st.dictionaries(texts.filter(bool), st.none() | st.integers() | texts | st.booleans()))
def test_attributes_are_json_and_leave_out_what_is_unknown(values: dict[str, Any]) -> None:
    trusted = {f"x:{number}": value for number, value in enumerate(values.values())}
    found = json.loads("{" + attributes(trusted) + "}")
    assert set(found) == {name for name, value in trusted.items() if value is not None}


@patient
@given(texts)
def test_any_string_is_one_line_of_json(value: str) -> None:
    text = string(value)
    assert json.loads(text) == value
    assert not set(text) & set("\n\r\t\0\b\f")


@patient
@given(st.text())
def test_any_text_gives_a_safe_local_name(text: str) -> None:
    assert LOCAL.fullmatch(local_name(text))


@patient
@given(st.lists(st.text() | st.text("ab .-/", max_size=4), unique=True, max_size=20))
def test_different_texts_give_different_local_names(texts: list[str]) -> None:
    assert len({local_name(text) for text in texts}) == len(texts)


@patient
@given(st.from_regex(LOCAL, fullmatch=True).filter(str.isascii))
def test_a_safe_name_stays_as_it_is(text: str) -> None:
    assert local_name(text) == text


def test_long_texts_with_a_common_beginning_stay_apart() -> None:
    """A hash of 32 bits would meet itself among as many mapped tasks as Airflow allows."""
    names = {local_name("task " + "x" * 100 + str(number)) for number in range(200_000)}
    assert len(names) == 200_000
    assert max(map(len, names)) < 120


@patient
@given(st.lists(st.tuples(st.text(), st.text()), unique=True, max_size=20))
def test_hashed_names_tell_their_parts_apart(parts: list[tuple[str, str]]) -> None:
    parts = [pair for pair in parts if "\0" not in "".join(pair)]
    assert len({hashed_name("file", *pair) for pair in parts}) == len(parts)


_values = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.text("ab_.", max_size=3), inner, max_size=4)
)


@patient
@given(st.dictionaries(st.text("ab_.", max_size=3), _values, max_size=4))
def test_each_leaf_of_a_nested_mapping_is_an_attribute(values: dict[str, Any]) -> None:
    def leaves(value: Any) -> int:
        if isinstance(value, dict) and value:
            return sum(map(leaves, value.values()))
        return 1

    found = keyed("param", values)
    assert len([v for v in found.values() if not isinstance(v, str)]) == sum(
        map(leaves, values.values())
    )
    for name in found:
        assert name.startswith("yprov4wms:param_")
        assert LOCAL.fullmatch(name.removeprefix("yprov4wms:"))


def test_no_mapping_gives_no_attributes() -> None:
    assert keyed("param", None) == keyed("param", {}) == {}
    assert figures(None) == figures({}) == ""


@patient
@given(st.text(max_size=40) | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00"))
def test_times_are_known_as_the_rules_know_them(text: str) -> None:
    assert is_time(text) is literals.is_time(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T10:00:00.000000+00:00", True),
        ("2024-02-29T23:59:59.999999+00:00", True),
        ("2026-02-29T10:00:00.000000+00:00", False),
        ("2026-13-01T10:00:00.000000+00:00", False),
        ("2026-03-01T24:00:00.000000+00:00", False),
        ("2026-W10-1T10:00:00.000000+00:00", False),
        ("2026-03-01 10:00:00.000000+00:00", False),
        ("2026-03-01T10:00:00,000000+00:00", False),
        ("2026-03-01T10:00:00.000000-00:00", False),
        ("2026-03-01T10:00:00.000000+01:00", False),
        ("2026-03-01T10:00:00.000000Z", False),
        ("٢٠٢٦-03-01T10:00:00.000000+00:00", False),
        ("0000-03-01T10:00:00.000000+00:00", False),
        ("", False),
    ],
)
def test_a_time_has_one_form(text: str, expected: bool) -> None:
    assert is_time(text) is literals.is_time(text) is expected
