"""Children that anybody may leave: like PROV-JSON, and then not."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from yprov4wms.prov.vocabulary import ELEMENTS, PREFIXES, RELATIONS, run_namespace

#: The id of the run that a document is of, and its own namespace.
CHILD = "0198f3a1-0000-7000-8000-000000000000"
OWN = run_namespace(CHILD)
patient = settings(deadline=None, suppress_health_check=list(HealthCheck))

_ids = st.sampled_from(
    [
        "x:a", "x:b", "x:a b", "a", "y:c", "_:d", "", "prov:e", "x:", "é", "run:x", "me:a", "ml1:a",
        "run:workflow_run", "run:task_train.1", "x:a (activity)", "x:\x00\x1b\u2028", "x:a.", "p:a",
        "x" * 300, "1", ":", "x:a:b", "\U0001f642",
    ]
)  # fmt: skip
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
        "x:a b",
        "yprov4wms:TaskAttempt",
        "yprov4wms:MLContext",
        "prov:Collection",
        "prov:Bundle",
        "p:Plan",
        "1e400",
        "-0",
        "0.12345678901234567890123",
        "9" * 5000,
        "1_0",
        "2026-03-01T10:00:00.123456789+05:30",
        "2026-03-01",
        "10000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "\x00\x7f\u2028",
        "</script>",
        "1",
        "2",
        "3",
        "completed",
        "nested",
        "part-of",
        "ada",
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
                "xsd:decimal",
                "xsd:double",
                "xsd:boolean",
                "xsd:string",
                "xsd:unknown",
                "prov:InternationalizedString",
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
        "y:k", "", ":", "x:", "prov:", "p:label", "p:type", "p:startTime", "p:entity", "p:agent",
        "w:level", "w:status", "yprov4wms:original_id", "yprov4wms:prov_endTime", "prov:starter",
        "yprov4wms:further_label", "yprov4wms:cpu_time_method", "yprov4wms:sha256", "prov:entity",
        "prov:trigger", "prov:ender", "prov:agent", "prov:collection", "prov:bundle", "prov:id",
        "yprov4wms:original_relation", "prov:mentionedEntity", "xsd:int", "prov:usage", "\x00",
        "me:k",
    ]
)  # fmt: skip
_records = st.dictionaries(_names, _values, max_size=4)
_some = _records | st.lists(_records | scalars, max_size=2) | scalars


def _relation(section: str) -> st.SearchStrategy[Any]:
    first, _, second, _ = RELATIONS[section]
    ends = st.fixed_dictionaries({}, optional={first: _ids | _values, second: _ids | _values})
    one = st.builds(lambda ends, more: {**more, **ends}, ends, _records)
    return one | one | st.lists(one | scalars, max_size=2) | _some


documents = st.fixed_dictionaries(
    {},
    optional={
        "prefix": st.dictionaries(
            st.sampled_from(
                ["x", "y", "default", "prov", "yprov", "run", "ml1", "é", "", "me", "p", "w", "xsd"]
            ),
            st.sampled_from(
                [
                    *("http://x/", "x", "", "urn:y#", "http://a b/", "urn:z:\x00#"),
                    *(OWN, *PREFIXES.values()),
                ]
            )
            | scalars,
        )
        | scalars,
        **{section: st.dictionaries(_ids, _some, max_size=4) | scalars for section in ELEMENTS},
        **{
            section: st.dictionaries(st.text(max_size=2), _relation(section), max_size=3)
            for section in RELATIONS
        },
        "bundle": st.dictionaries(_ids, scalars | st.just({"entity": {}}), max_size=1) | scalars,
        "@context": scalars,
    },
)

#: Mostly with what it takes to be flattened.
likely = st.builds(
    lambda found, more: {
        **found,
        "prefix": {
            **(found.get("prefix") if isinstance(found.get("prefix"), dict) else {}),
            **{"x": "http://x/", "p": PREFIXES["prov"], "w": PREFIXES["yprov4wfs"], "me": OWN},
        },
        "activity": {
            **(found.get("activity") if isinstance(found.get("activity"), dict) else {}),
            "x:run": more,
        },
    },
    documents,
    _records,
)

_tidy_ids = st.sampled_from(["x:a", "x:b", "x:run", "me:a", "x:undescribed"])


def _tidy_relation(section: str) -> st.SearchStrategy[Any]:
    first, _, second, _ = RELATIONS[section]
    return st.fixed_dictionaries({first: _tidy_ids}, optional={second: _tidy_ids})


#: In which nothing is odd but what relations are between.
tidy = st.fixed_dictionaries(
    {
        "prefix": st.just({"x": "http://x/", "p": PREFIXES["prov"], "me": OWN}),
        "activity": st.dictionaries(_tidy_ids, st.just({}), max_size=2).map(
            lambda found: {**found, "x:run": {}}
        ),
    },
    optional={
        **{s: st.dictionaries(_tidy_ids, st.just({}), max_size=3) for s in ("entity", "agent")},
        **{
            section: st.dictionaries(st.sampled_from(["_:1", "_:2"]), _tidy_relation(section))
            for section in RELATIONS
        },
    },
)
