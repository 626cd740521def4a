"""The page of all terms names those that stand in documents, and those that the code writes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.yprov4wms.prov.runs import Told, document_of, folded, runs

import yprov4wms
from yprov4wms.events import Status
from yprov4wms.metering import names as figures
from yprov4wms.prov.terms import GROUPS
from yprov4wms.prov.vocabulary import OPTIONAL_ENDS, PREFIXES, RELATIONS, Level, Link, Type

PAGE = Path(__file__).parents[3] / "docs" / "vocabulary.md"
CODE = Path(yprov4wms.__file__).parent
OURS = ("yprov4wms", "yprov4wfs", "yprov", "provml", "dcterms")
TERM = re.compile(rf'"((?:{"|".join(OURS)}):[A-Za-z][A-Za-z0-9_]*)"')
#: Ends of relations stand in W3C PROV; those that are given are the two of `RELATIONS`.
ENDS = {end for ends in RELATIONS.values() for end in (ends[0], ends[2])} | {*OPTIONAL_ENDS}


#: Groups whose terms mean different things on different elements.
_SEVERAL = ("On the plan", "On software and agents", "On what an ML run used and made")

NAMED = set(re.findall(r"`([^`]+)`", PAGE.read_text("utf-8")))
FAMILIES = tuple(name.removesuffix(".*") for name in NAMED if name.endswith(".*"))


def unnamed(terms: Iterable[str]) -> list[str]:
    return sorted(term for term in terms if term not in NAMED and not term.startswith(FAMILIES))


def terms(document: dict[str, Any]) -> Iterator[str]:
    for section, records in document.items():
        if section == "prefix":
            continue
        for record in records.values():
            if section == "bundle":
                yield from terms(record)
                continue
            yield from record
            yield from (record[key] for key in ("prov:type",) if key in record)


def test_the_page_is_what_is_made_of_the_vocabulary() -> None:
    """And the schema: `python docs/generate.py` writes both."""
    command = [sys.executable, str(PAGE.with_name("generate.py")), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_page_that_is_not_is_told_of(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (tmp_path / "core" / "src" / "yprov4wms" / "prov").mkdir(parents=True)
    script = shutil.copy(PAGE.with_name("generate.py"), docs)
    (docs / "vocabulary.md").write_text(PAGE.read_text("utf-8") + "more\n")
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, check=False)
    assert done.returncode == 1
    assert (docs / "vocabulary.md").read_text("utf-8").endswith("more\n")
    subprocess.run([sys.executable, script], check=True)
    assert (docs / "vocabulary.md").read_text("utf-8") == PAGE.read_text("utf-8")


def test_no_term_is_told_of_twice_on_the_same() -> None:
    for group in GROUPS:
        names = [name for term in group.terms for name, _ in term.each()]
        assert len(names) == len(set(names)) or group.title in _SEVERAL, group.title


def test_every_term_that_the_code_writes_is_on_the_page() -> None:
    written = {
        term for path in CODE.rglob("*.py") for term in TERM.findall(path.read_text("utf-8"))
    }
    assert len(written) > 100
    assert unnamed(written) == []


def test_the_closed_sets_are_on_the_page() -> None:
    levels = {f'"{level}"' for level in Level}
    assert unnamed({*levels, *Link, *Type, *Status, *PREFIXES, *PREFIXES.values()}) == []
    of_metering = {v for k, v in vars(figures).items() if k.isupper() and "_" in v}
    assert unnamed(f"yprov4wms:{figure}" for figure in of_metering) == []


@given(told=runs(), nest=st.sampled_from(["flatten", "bundle", "link"]))
@settings(max_examples=30)
def test_every_term_in_a_document_is_on_the_page(told: Told, nest: str) -> None:
    document = document_of(folded(told.events), told.children, nest)
    found = {
        term
        for term in terms(document)
        if term.partition(":")[0] in (*OURS, "prov") and term not in ENDS
    }
    found.discard("yprov4wms:k")  # a child's own name, which has no prefix there
    assert unnamed(found) == []
