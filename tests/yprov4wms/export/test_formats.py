"""Every format of the document: valid, and equal to it when it is read back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.documents import environment
from tests.yprov4wms.export.test_document import run_with_child
from tests.yprov4wms.prov.anything import likely, patient
from tests.yprov4wms.prov.runs import Told, content_of, folded, runs
from tests.yprov4wms.prov.test_anything import INPUTS, ODD, OUTPUTS
from tests.yprov4wms.prov.test_nesting import NESTS, nested
from tests.yprov4wms.written import (
    READABLE,
    READS,
    WITH_BUNDLES,
    WRITES,
    assert_written,
    loaded,
    named,
    read,
    written,
)

from yprov4wms.export.records import FURTHER
from yprov4wms.prov import library
from yprov4wms.prov.vocabulary import BARE, RELATIONS

pytest.importorskip("lxml")
pytest.importorskip("rdflib")
needs_new_prov = pytest.mark.skipif(not WRITES, reason="this prov writes neither XML nor JSON-LD")

nests = st.sampled_from(NESTS)


# -- what reads back -----------------------------------------------------------------------


@settings(parent=patient, max_examples=60)
@given(runs(), nests, st.sampled_from(READABLE))
def test_any_run_reads_back_equal(told: Told, nest: str, form: str) -> None:
    assert_written(content_of(folded(told.events), told.children, nest), form)


@settings(parent=patient, max_examples=60)
@given(likely, nests, st.sampled_from(READABLE))
def test_a_run_with_any_child_reads_back_equal(child: Any, nest: str, form: str) -> None:
    found = nested(child, nest, inputs=INPUTS, outputs=OUTPUTS, dialect="prov")
    assert_written(json.dumps(found).encode(), form)


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize("name", ODD.keys() - {"long string", "long identifier", "long name"})
def test_a_run_with_an_odd_child_reads_back_equal(name: str, nest: str) -> None:
    found = nested(ODD[name], nest, inputs=INPUTS, outputs=OUTPUTS, dialect="prov")
    for form in READABLE:
        assert_written(json.dumps(found).encode(), form)


MOMENT = "2026-03-01T10:00:00.123456+00:00"
HOSTILE = (
    "=cmd|' /C calc'!A0 <!ENTITY x SYSTEM 'file:///etc/passwd'>&x;&amp; ]]> <?p?> </prov:document>"
    " \"\"\" ''' \\ \\n \\u0041 {} [] ;. @it ^^x %% # // /* endDocument \t\r\n"
    "\u2028\u0085\u00e9\U0001f642\ufeff ../../etc/passwd \\N{BULLET} _:b1 ${x} {{x}}"
)
#: Each kind of value that a document may hold.
VALUES: dict[str, Any] = {
    "empty": "",
    "hostile": HOSTILE,
    "space": "  \n ",
    "long": "a" * 100_000,
    "language": [
        {"$": "ciao", "lang": "it"}, {"$": "", "lang": "en-GB"}, {"$": HOSTILE, "lang": "de"}
    ],
    "integers": [{"$": text, "type": "xsd:int"} for text in ("0", "-5", "2147483647", "007", "+3")],
    "longs": [{"$": str(number), "type": "xsd:long"} for number in (2**62, -(2**63), 5)],
    "beyond": str(2**70),
    "doubles": [
        {"$": text, "type": "xsd:double"}
        for text in ("INF", "-INF", "0.028919999999999998", "1e300", "5e-324", "-0.0", "5", "1E3")
    ],
    "booleans": [True, False],
    "text": {"$": HOSTILE, "type": "xsd:string"},
    "moment": {"$": MOMENT, "type": "xsd:dateTime"},
    "date": {"$": "2026-01-01", "type": "xsd:date"},
    "year": {"$": "2026", "type": "xsd:gYear"},
    "duration": {"$": "P1DT2H", "type": "xsd:duration"},
    "hex": {"$": "0aff", "type": "xsd:hexBinary"},
    "base64": {"$": "aGk=", "type": "xsd:base64Binary"},
    "uri": {"$": "http://a/b?c=d&e=f#g", "type": "xsd:anyURI"},
    "own": {"$": "v", "type": "x:T"},
    "name": {"$": "x:e", "type": "prov:QUALIFIED_NAME"},
}  # fmt: skip
ELEMENTS = {
    "prefix": {
        "prov": "http://www.w3.org/ns/prov#",
        "xsd": "http://www.w3.org/2001/XMLSchema#",
        "provml": "https://github.com/HPCI-Lab/yProv4ML/provml#",
        "x": "http://x/a?b=c&d=<e>#".replace("<e>", "e"),
        "rdfs": "http://not.rdfs/",
        "_u": "http://under/",
    },
    "entity": {
        "x:e": {"prov:value": "5", "prov:location": "/x", "rdfs:label": "own", "_u:k": "1"}
        | {f"x:{name}": value for name, value in VALUES.items()},
        "x:f": {"prov:type": "prov:Plan"},
        "x:metric": {"prov:type": "provml:Metric", "prov:label": "loss"},
        "x:lr": {"prov:type": "provml:HyperParameter", "prov:value": VALUES["doubles"][2]},
    },
    "activity": {
        "x:run": {"prov:startTime": MOMENT, "prov:endTime": MOMENT, "prov:type": "x:Training"},
        "x:act": {"prov:type": "just text"},
    },
    "agent": {"x:g": {"prov:type": "prov:Person"}, "x:h": {}},
}
_ENDS = {"entity": ("x:e", "x:f"), "activity": ("x:run", "x:act"), "agent": ("x:g", "x:h")}
_FURTHER = {
    "prov:time": MOMENT,
    "prov:starter": "x:act",
    "prov:ender": "x:act",
    "prov:activity": "x:act",
    "prov:plan": "x:f",
}


def related(section: str) -> dict[str, Any]:
    """Relations of one section, in each of their forms, between different ends."""
    one, kind, two, other = RELATIONS[section]
    first, second = _ENDS[kind or "entity"], _ENDS[other or "entity"]
    there, back = {one: first[0], two: second[1]}, {one: first[1], two: second[0]}
    if section in BARE:
        return {"_:1": there, "x:id": back | {"x:k": "v"}}
    formal = {name: _FURTHER[name] for name in FURTHER.get(section, ()) if name in _FURTHER}
    extra = {"prov:role": "r", "prov:type": "x:T", "prov:label": HOSTILE, "prov:location": "/p"}
    same = {one: first[0], two: second[0]} if first != second else {}
    return {
        "_:1": there,
        "_:2": back | formal | extra | {"x:k": "v"},
        **({"_:3": same | formal} if same else {}),
    }


@pytest.mark.parametrize("form", READABLE)
@pytest.mark.parametrize("section", RELATIONS)
def test_every_kind_of_value_and_relation_reads_back_equal(section: str, form: str) -> None:
    found = nested({**ELEMENTS, section: related(section)}, dialect="prov")
    assert_written(json.dumps(found).encode(), form)


@pytest.mark.skipif(not READS, reason="this prov does not read them")
@pytest.mark.parametrize("form", WITH_BUNDLES)
def test_a_bundles_own_names_read_back_equal(form: str) -> None:
    """Names without prefix, identified relations, prefixes that mean something else outside."""
    bundle = {
        "prefix": {"default": "http://d/", "ml9": "http://other/"},
        "entity": {"e": {"ml9:k": "v", "prov:type": "ml9:T"}, "ml9:f": {}},
        "activity": {"a": {}},
        "used": {"u": {"prov:activity": "a", "prov:entity": "ml9:f", "prov:time": MOMENT}},
        "wasDerivedFrom": {
            "d": {"prov:generatedEntity": "e", "prov:usedEntity": "ml9:f", "prov:activity": "a"}
        },
    }
    document = {
        "prefix": {"run": "urn:uuid:1#", "ml9": "urn:ml9#"},
        "entity": {"run:b": {"prov:type": "prov:Bundle"}, "ml9:f": {"ml9:k": "outside"}},
        "bundle": {"run:b": bundle, "run:c": {"entity": {"ml9:f": {}}}},
    }
    assert_written(json.dumps(document).encode(), form)


@pytest.mark.skipif(not READS, reason="this prov does not read them")
@pytest.mark.parametrize("form", WITH_BUNDLES)
def test_what_is_no_number_is_written_as_xml_schema_has_it(form: str) -> None:
    """By itself, for it is not equal to itself when it is read."""
    value = {"$": "NaN", "type": "xsd:double"}
    document = {"prefix": {"x": "http://x/"}, "entity": {"x:e": {"x:k": value}}}
    text = written(json.dumps(document).encode(), form)
    assert b"NaN" in text
    ((_, found),) = read(text, form).get_records()[0].attributes
    assert found != found


@pytest.mark.skipif(not READS, reason="this prov does not read it")
@pytest.mark.parametrize(
    "local", ["a/b(c)'d,=[;]", "-.a.", "é", "%41", "%zz", "a b", "\\", "<a>", "1"]
)
def test_names_in_values_that_are_none_elsewhere_can_be_read(local: str) -> None:
    """Documents of ours have no such names; what they name is kept where IRIs can hold it."""
    value = {"$": f"x:{local}", "type": "prov:QUALIFIED_NAME"}
    document = {"prefix": {"x": "http://x/"}, "entity": {"x:e": {"x:k": value}}}
    content = json.dumps(document).encode()
    for form in ("prov-n", "trig", "n-quads"):
        ((_, found),) = read(written(content, form), form).get_records()[0].attributes
        if not set(local) & set(" \\<>"):
            (record,) = loaded(named(content, form)).get_records()
            assert {found} == set(record.get_attribute("x:k")) or local == "%zz"


@needs_new_prov
def test_a_character_that_xml_cannot_hold_is_told_with_its_place() -> None:
    document = {"prefix": {"x": "http://x/"}, "entity": {"x:e": {"x:k": ["a", "\x1b[31m"]}}}
    message = r"XML cannot hold U\+001B \(entity x:e, x:k\): other formats can, as prov-n"
    with pytest.raises(ValueError, match=message):
        written(json.dumps(document).encode(), "prov-xml")


@needs_new_prov
def test_what_json_ld_has_no_term_for_is_told() -> None:
    mention = {"prov:specificEntity": "x:a", "prov:generalEntity": "x:b", "prov:bundle": "x:c"}
    document = {
        "prefix": {"x": "http://x/"},
        "entity": {"x:a": {}, "x:b": {}, "x:c": {}},
        "mentionOf": {"_:1": mention},
    }
    with pytest.raises(ValueError, match=r"prov-jsonld cannot hold it: .*mentionOf"):
        written(json.dumps(document).encode(), "prov-jsonld")


# -- what is missing -----------------------------------------------------------------------


@pytest.mark.parametrize("old", ["1.5.1", "3.2.2"])
@pytest.mark.parametrize("form", library.FORMATS)
def test_an_older_prov_is_told(form: str, old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "version", lambda package: old)
    with pytest.raises(library.LibraryError, match=rf"{form} needs prov 3.2.3 .* here is {old}"):
        written(b'{"entity": {}}', form)


def exported(
    tmp_path: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    if not (tmp_path / "store").exists():
        run_with_child(tmp_path / "store")
    command = [sys.executable, "-m", "yprov4wms", "export", "--store", "store", *arguments]
    return subprocess.run(
        command, cwd=tmp_path, env=environment(**variables), capture_output=True, check=False
    )


def hidden(tmp_path: Path, *modules: str) -> dict[str, str]:
    """Variables of a Python that lacks these."""
    (tmp_path / "hidden").mkdir()
    code = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in modules)
    code += (
        "import importlib.metadata as m\nknown = m.version\n"
        "def version(name):\n"
        f"    if name in {modules!r}: raise m.PackageNotFoundError(name)\n"
        "    return known(name)\n"
        "m.version = version\n"
    )
    (tmp_path / "hidden" / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": f"{tmp_path / 'hidden'}:{':'.join(sys.path)}", "PYTHONSAFEPATH": ""}


@pytest.mark.parametrize(
    "form", ["prov-n", "turtle", "trig", "n-triples", "n-quads", "prov-dot", "graphml"]
)
def test_most_formats_need_no_library(tmp_path: Path, form: str) -> None:
    without = hidden(tmp_path, "prov", "lxml", "rdflib")
    done = exported(tmp_path, "--format", form, **without)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize(
    ("form", "module", "needs"),
    [("prov-xml", "lxml", "prov and lxml"), ("prov-jsonld", "prov", "prov")],
)
def test_a_library_that_is_missing_is_told_with_what_to_do(
    tmp_path: Path, form: str, module: str, needs: str
) -> None:
    if module == "lxml" and not WRITES:
        pytest.skip("this prov is told of first")
    done = exported(tmp_path, "--format", form, "-o", "x/out", **hidden(tmp_path, module))
    assert done.returncode == 2
    assert f"{form} needs {needs}: pip install 'yprov4wms[formats]'" in done.stderr.decode()
    assert not list((tmp_path / "x").glob("*"))


# -- the command ---------------------------------------------------------------------------


@pytest.mark.parametrize("form", WITH_BUNDLES)
def test_the_command_writes_it_with_child_runs(tmp_path: Path, form: str) -> None:
    if form in library.FORMATS and not WRITES:
        pytest.skip("not by this prov")
    done = exported(tmp_path, "--format", form, "--nest", "bundle", "-o", "out.gz")
    assert done.returncode == 0, done.stderr
    assert exported(tmp_path, "--format", form, "--nest", "bundle", "-o", "out").returncode == 0
    plain = (tmp_path / "out").read_bytes()
    assert exported(tmp_path, "--format", form, "--nest", "bundle").stdout == plain
    if READS:
        exported(tmp_path, "--nest", "bundle", "-o", "out.json")
        content = (tmp_path / "out.json").read_bytes()
        assert read(plain, form) == loaded(named(content, form))


@pytest.mark.parametrize("output", ["-", "out.ttl"])
def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, output: str) -> None:
    done = exported(tmp_path, "--format", "turtle", "--nest", "bundle", "-o", output)
    assert done.returncode == 2
    assert b"bundles have no place in turtle: use trig, or another --nest" in done.stderr
    assert done.stdout == b""
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("form", ["svg", "prov-svg"])
def test_graphviz_draws_the_steps_and_the_document(tmp_path: Path, form: str) -> None:
    import shutil
    from xml.etree import ElementTree

    if shutil.which("dot") is None:
        pytest.skip("Graphviz draws it")
    done = exported(tmp_path, "--format", form)
    assert done.returncode == 0, done.stderr
    assert ElementTree.fromstring(done.stdout).tag == "{http://www.w3.org/2000/svg}svg"
    assert b"train" in done.stdout
    without = exported(tmp_path, "--format", form, "-o", "out.svg", PATH=str(tmp_path))
    assert without.returncode == 2
    assert b"error: Graphviz is not installed: its program dot draws it" in without.stderr
    assert not (tmp_path / "out.svg").exists()
