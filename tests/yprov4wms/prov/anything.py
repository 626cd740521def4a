"""Children that anybody may leave: like PROV-JSON, and then not."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from yprov4wms.prov.vocabulary import ELEMENTS, RELATIONS

patient = settings(deadline=None, suppress_health_check=list(HealthCheck))

_ids = st.sampled_from(["x:a", "x:b", "x:a b", "a", "y:c", "_:d", "", "prov:e", "x:", "é", "run:x"])
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
_texts = st.sampled_from(
    [
        "",
        "a",
        "x:a",
        "prov:Plan",
        "2026-03-01T10:00:00Z",
        "5",
        "NaN",
        "yprov4wms:MLRun",
        "depends-on",
    ]
)
_literals = st.fixed_dictionaries(
    {"$": scalars | _texts},
    optional={
        "type": st.sampled_from(
            [
                "xsd:int",
                "xsd:integer",
                "xsd:QName",
                "prov:QUALIFIED_NAME",
                "xsd:dateTime",
                "x:t",
                "y:u",
                "",
            ]
        )
        | scalars,
        "lang": st.sampled_from(["en", "", "not a language"]) | scalars,
        "more": scalars,
    },
)
_values = scalars | _texts | _literals | st.lists(scalars | _texts | _literals, max_size=3)
_names = st.sampled_from(
    [
        "prov:label", "prov:type", "prov:startTime", "prov:endTime", "prov:time", "prov:role",
        "prov:value", "prov:plan", "prov:activity", "prov:generation", "prov:startedAtTime",
        "yprov4wfs:level", "yprov4wfs:status", "yprov4wms:link", "yprov4wms:path",
        "yprov4wms:login", "yprov4wms:cpu_time", "yprov4wms:cpu_time_unit", "x:k", "x:k y", "k",
        "y:k", "", ":", "x:", "prov:",
    ]
)  # fmt: skip
_records = st.dictionaries(_names, _values, max_size=4)
_some = _records | st.lists(_records | scalars, max_size=2) | scalars


def _relation(section: str) -> st.SearchStrategy[Any]:
    first, _, second, _ = RELATIONS[section]
    ends = st.fixed_dictionaries({}, optional={first: _ids | _values, second: _ids | _values})
    return st.builds(lambda ends, more: {**more, **ends}, ends, _records) | _some


documents = st.fixed_dictionaries(
    {},
    optional={
        "prefix": st.dictionaries(
            st.sampled_from(["x", "y", "default", "prov", "yprov", "run", "ml1", "é", ""]),
            st.sampled_from(["http://x/", "x", "", "urn:y#", "http://a b/"]) | scalars,
        )
        | scalars,
        **{section: st.dictionaries(_ids, _some, max_size=4) | scalars for section in ELEMENTS},
        **{
            section: st.dictionaries(st.text(max_size=2), _relation(section), max_size=3)
            for section in RELATIONS
        },
        "bundle": st.dictionaries(_ids, scalars, max_size=1),
        "@context": scalars,
    },
)
