"""Arbitrary small instances of PROV, as statements."""

from __future__ import annotations

from hypothesis import strategies as st
from tests.yprov4wms.prov.constraints.reference import Name, Statement

_ENTITIES = st.sampled_from(["ex:e1", "ex:e2", "ex:e3", "ex:e4"])
_ACTIVITIES = st.sampled_from(["ex:a1", "ex:a2", "ex:a3"])
#: Agents are entities, activities, or agents alone.
_AGENTS = st.sampled_from(["ex:e1", "ex:a1", "ex:ag"])
_TIMES = st.sampled_from([None, None, "2026-01-01T00:00:00", "2026-01-02T00:00:00"])


def _or_none(names: st.SearchStrategy[str]) -> st.SearchStrategy[Name]:
    return st.one_of(st.none(), names)


def _id(text: str) -> st.SearchStrategy[Name]:
    return st.sampled_from([None, None, None, f"ex:{text}1", f"ex:{text}2"])


def _statement(
    kind: str, identifier: st.SearchStrategy[Name], *args: st.SearchStrategy[Name]
) -> st.SearchStrategy[Statement]:
    return st.builds(Statement, st.just(kind), identifier, st.tuples(*args))


_E, _A, _AG = _or_none(_ENTITIES), _or_none(_ACTIVITIES), _or_none(_AGENTS)
_ORDERED = [
    _statement("used", _id("use"), _ACTIVITIES, _E, _TIMES),
    _statement("wasGeneratedBy", _id("gen"), _ENTITIES, _A, _TIMES),
    _statement("wasInvalidatedBy", _id("inv"), _ENTITIES, _A, _TIMES),
    _statement("wasStartedBy", _id("start"), _ACTIVITIES, _E, _A, _TIMES),
    _statement("wasEndedBy", _id("end"), _ACTIVITIES, _E, _A, _TIMES),
    _statement("wasInformedBy", _id("com"), _ACTIVITIES, _ACTIVITIES),
    _statement("wasAttributedTo", _id("att"), _ENTITIES, _AGENTS),
    _statement("wasAssociatedWith", _id("ass"), _ACTIVITIES, _AG, _E),
    _statement("actedOnBehalfOf", _id("del"), _AGENTS, _AGENTS, _A),
    _statement("specializationOf", st.none(), _ENTITIES, _ENTITIES),
]
_DERIVATION = st.one_of(
    _statement("wasDerivedFrom", _id("der"), _ENTITIES, _ENTITIES, *[st.none()] * 3),
    _statement(
        "wasDerivedFrom", _id("der"), _ENTITIES, _ENTITIES, _ACTIVITIES, _id("gen"), _id("use")
    ),
)
_ELEMENT = st.one_of(
    _statement("entity", _ENTITIES),
    _statement("activity", _ACTIVITIES, _TIMES, _TIMES),
    _statement("agent", _AGENTS),
)
#: Half of them derivations and declarations: else hardly any has a cycle.
instances = st.lists(
    st.one_of(*_ORDERED, *[_DERIVATION] * 5, *[_ELEMENT] * 5), min_size=5, max_size=20
)
#: The same where little is left out, and names are few: else hardly any contradicts.
crowded = st.lists(
    st.one_of(
        _statement("activity", st.just("ex:a1"), _TIMES, _TIMES),
        _statement("wasGeneratedBy", _id("gen"), st.just("ex:e1"), _A, _TIMES),
        _statement("used", _id("use"), st.just("ex:a1"), _E, _TIMES),
        _statement("wasInvalidatedBy", _id("inv"), st.just("ex:e1"), _A, _TIMES),
        _statement("wasStartedBy", _id("start"), st.just("ex:a1"), _E, _A, _TIMES),
        _statement("wasEndedBy", _id("end"), st.just("ex:a1"), _E, _A, _TIMES),
        _statement("wasAssociatedWith", _id("ass"), st.just("ex:a1"), _AG, _E),
        _DERIVATION,
    ),
    min_size=2,
    max_size=8,
)
