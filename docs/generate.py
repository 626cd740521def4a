"""Writes what is made of the vocabulary: docs/vocabulary.md, and the JSON Schema in the core.

    python docs/generate.py [--check]

With --check nothing is written; the exit status is 1 where a file is not what it should be.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap

from yprov4wms.prov import meanings, schema, terms
from yprov4wms.prov.vocabulary import ANALYTICS, ANALYTICS_URI, PREFIXES

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "vocabulary.md"
SCHEMA = ROOT / "core" / "src" / "yprov4wms" / "prov" / schema.NAME
WIDTH = 128

HEAD = "<!-- Made by docs/generate.py of core/src/yprov4wms/prov/terms.py: edit that. -->"
INTRODUCTION = (
    "Every term that stands in our documents, by what it stands on. How they fit together: "
    "[the document](document.md); what of PROV that is: [conformance](conformance.md); as a JSON "
    "Schema: `yprov4wms schema`.",
    "Times are `YYYY-MM-DDThh:mm:ss.ffffff+00:00`. Of the types, *int* is `xsd:int` or `xsd:long`, "
    "*number* `xsd:double`; a *list* is an array. What is not known is left out. "
    "`yprov4wms:param_.*` stands for all names that begin with `yprov4wms:param_`.",
    "A term's type holds for what our own recorders write; a child run's own terms may have "
    "others. What a schema can say of it `yprov4wms schema` says, the rest (that what a relation "
    "names is declared, that times are in order, ...) is checked by `yprov4wms validate`.",
)
RUN_ID = "`urn:uuid:<run id>#`"
#: Prefixes whose namespaces are a run's own.
OWN = (
    ("`run`", RUN_ID, "elements of this workflow run"),
    ("`ml`", RUN_ID, "elements of an ML run, in its own document"),
    ("`ml1`, `ml2`...", "the child's namespace", "elements of a child run, flattened"),
    ("`run2`, `run3`...", RUN_ID, "elements of another workflow run in the document"),
    ("`origin<n>`", RUN_ID, "what another run published"),
    ("`mls`", "`http://www.w3.org/ns/mls#`", "W3C ML-Schema, in RDF alone"),
    (f"`{ANALYTICS}`", f"`{ANALYTICS_URI}`", "terms of yProv's tools, in coarse views alone"),
)
AFTER_PREFIXES = (
    "A child's own prefixes are declared as well, and its terms stand as it wrote them; a "
    "flattened child's names without a prefix stand under `yprov4wms`."
)
AFTER_TYPES = (
    "In RDF also `mls:Run`, `mls:HyperParameterSetting` (with `mls:hasValue`), `mls:Dataset`, "
    "`mls:Model`, `mls:ModelEvaluation`."
)


def page() -> str:
    """docs/vocabulary.md."""
    head = f"{HEAD}\n# Vocabulary\n"
    told = (*map(_text, INTRODUCTION), *_closed_sets(), *_groups())
    return "\n".join((head, *told)).rstrip() + "\n"


def _closed_sets() -> Iterator[str]:
    yield "## Prefixes\n"
    shared = [(f"`{p}`", f"`{uri}`", meanings.OWNERS[p]) for p, uri in PREFIXES.items()]
    yield _table(("prefix", "namespace", "whose"), [*shared, *OWN])
    yield _text(AFTER_PREFIXES)
    yield "## Types\n\n`prov:type`, one for each element:\n"
    types = [(f"`{kind}`", of, what) for kind, (of, what) in meanings.TYPES.items()]
    yield _table(("type", "of", "what"), types)
    yield _text(AFTER_TYPES)
    yield "## Level, status, link\n"
    levels = ", ".join(f'`"{level}"` {what}' for level, what in meanings.LEVELS.items())
    yield f"`yprov4wfs:level`, the kind of an activity: {levels}.\n"
    yield "`yprov4wfs:status`, on activities, and on plans of tasks that never ran:\n"
    statuses = [(f"`{status}`", of, what) for status, (of, what) in meanings.STATUSES.items()]
    yield _table(("status", "of", "what"), statuses)
    yield "`yprov4wms:link`, why two elements are related:\n"
    links = [(f"`{link}`", relation, what) for link, (relation, what) in meanings.LINKS.items()]
    yield _table(("link", "relation", "what"), links)


def _groups() -> Iterator[str]:
    for group in terms.GROUPS:
        yield f"## {group.title}\n"
        if group.before:
            yield _text(group.before)
        of_some = any(term.on for term in group.terms)
        rows = []
        for term in group.terms:
            each = term.each()
            names = ", ".join(f"`{name}`" for name, _ in each)
            kinds = [kind.value for _, kind in each]
            kind = kinds[0] if len(set(kinds)) == 1 else ", ".join(kinds)
            told = f"{kind}, {term.unit}" if term.unit else kind
            rows.append((names, *([term.on] if of_some else []), told, term.what))
        yield _table(("attribute", *(["on"] if of_some else []), "type", "what"), rows)
        if group.after:
            yield _text(group.after)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["|" + "".join(f" {cell} |" if cell else " |" for cell in row) for row in (head, *rows)]
    return "\n".join((lines[0], "|" + "---|" * len(head), *lines[1:])) + "\n"


def _text(text: str) -> str:
    return "\n".join(wrap(text, WIDTH, break_on_hyphens=False, break_long_words=False)) + "\n"


def main() -> int:
    stale = 0
    for path, content in ((PAGE, page()), (SCHEMA, schema.text())):
        if path.is_file() and path.read_text("utf-8") == content:
            continue
        stale += 1
        if "--check" in sys.argv[1:]:
            print(f"{path}: not what {Path(__file__).name} makes: run it")
        else:
            path.write_text(content, "utf-8")
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
