"""Documents in other formats: what reading them back must give, and whether it does."""

from __future__ import annotations

import io
import json
import re
import warnings
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

import msgspec
import pytest
from tests.explorer import assert_shown

from yprov4wms.export import coarse, formats, rdf
from yprov4wms.export.quoting import ILLEGAL
from yprov4wms.export.records import named_document
from yprov4wms.prov import constraints
from yprov4wms.prov.library import FORMATS as OF_LIBRARY
from yprov4wms.prov.library import OLDEST
from yprov4wms.prov.rules import check
from yprov4wms.prov.vocabulary import ELEMENTS, RELATIONS

PROV = tuple(map(int, version("prov").split(".")[:3]))
#: Up to here prov reads no PROV-N, and takes relations with attributes apart in RDF.
READS = PROV >= (3, 2)
WRITES = PROV >= OLDEST

#: By what prov and rdflib call them.
_RDF = {"turtle": "turtle", "trig": "trig", "n-triples": "nt", "n-quads": "nquads"}
#: Those that hold bundles, too.
WITH_BUNDLES = ("prov-n", "trig", "n-quads", *OF_LIBRARY)
READABLE = (*WITH_BUNDLES, "turtle", "n-triples")


def written(content: bytes, form: str) -> bytes:
    file = io.BytesIO()
    formats.write(content, form, file)
    return file.getvalue()


def named(content: bytes, form: str) -> bytes:
    """The document, PROV-JSON, with types as names; in RDF with the classes that it has there."""
    content = named_document(content)
    if form not in _RDF:
        return content
    document = json.loads(content)
    for container in (document, *document.get("bundle", {}).values()):
        for section in ELEMENTS:
            for record in container.get(section, {}).values():
                rdf.add_classes(record)
    document["prefix"]["mls"] = "http://www.w3.org/ns/mls#"
    text = json.dumps(document)
    return re.sub(r"<http://www.w3.org/ns/mls#(\w+)>", r"mls:\1", text).encode()


def assert_written(content: bytes, form: str) -> None:
    """That a document is whole in a format: valid there, and equal when it is read back.

    Where this prov cannot write a format, or read it, nothing is said of that.
    """
    if form in ("turtle", "n-triples") and re.search(rb'"bundle": ?{', content):
        return
    if form in OF_LIBRARY and not WRITES:
        return
    if form == "prov-xml" and (illegal := illegal_in_xml(content)):
        with pytest.raises(ValueError, match=re.escape(f"XML cannot hold U+{ord(illegal):04X}")):
            written(content, form)
        return
    text = written(content, form)
    assert text == written(content, form)
    if form == "prov-xml":
        assert_valid_xml(text)
    if form in ("prov-n", "prov-xml") and not constraints.check(content).problems:
        assert constraints.check(text).problems == []  # by a reader of our own
    if form == "prov-jsonld":
        _json_ld().validate(json.loads(text))
    if form in _RDF and not READS:
        _assert_in_graph(content, form, text)
    elif form in _RDF and _is_mixed(content):
        assert_same_graphs(content, form, text)
    elif READS:
        assert read(text, form) == loaded(named(content, form)), form


def assert_everywhere(content: bytes) -> None:
    """That the explorer shows a document whole, that its coarse view keeps the rules and is shown,
    too, and that both are whole in every format."""
    view = coarse.view(content, "run/prov.json")
    assert [f"{p.rule}: {p.where}: {p.message}" for p in check(view)] == []
    for document in (content, view):
        assert_shown(json.loads(document))
        for form in READABLE if _LIBRARIES else ():
            assert_written(document, form)


_LIBRARIES = all(find_spec(name) for name in ("lxml", "rdflib", "jsonschema"))


def illegal_in_xml(content: bytes) -> str | None:
    found = ILLEGAL.search("".join(_texts(msgspec.json.decode(content))))
    return found.group() if found else None


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in _texts(one)]


def loaded(content: bytes) -> Any:
    return read(content, "json")


def read(text: bytes, form: str) -> Any:
    from prov.model import ProvDocument

    how: dict[str, str] = {"format": form}
    if form in _RDF:
        how = {"format": "rdf", "rdf_format": _RDF[form]}
    elif form in OF_LIBRARY:
        how = {"format": OF_LIBRARY[form][0]}
    elif form == "prov-n":
        how = {"format": "provn", "profile": "strict"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ProvDocument.deserialize(content=text.decode(), **how)


def assert_valid_xml(text: bytes) -> None:
    """Valid by the schema of PROV-XML (W3C Note, 2013), but for types that are no schema's."""
    from lxml import etree

    schema = _xml()
    schema.validate(etree.fromstring(text, etree.XMLParser(huge_tree=True)))
    errors = [str(error) for error in schema.error_log if "xsi:type" not in str(error)]
    errors = [error for error in errors if "type definition is absent" not in error]
    assert not errors, errors[:5]


@cache
def _xml() -> Any:
    from lxml import etree

    return etree.XMLSchema(etree.parse(str(files("prov.tests") / "schemas" / "prov.xsd")))


@cache
def _json_ld() -> Any:
    import jsonschema

    schema = files("prov.tests") / "schemas" / "prov-jsonld.schema.json"
    return jsonschema.Draft7Validator(json.loads(schema.read_text()))


def _is_mixed(content: bytes) -> bool:
    """Whether an element has such a relation with attributes and one without: of these prov's
    reader loses what they are between."""
    document = json.loads(content)
    for container in (document, *document.get("bundle", {}).values()):
        for section in _READ_TOGETHER:
            plain: dict[str, set[bool]] = {}
            for record in container.get(section, {}).values():
                plain.setdefault(record[RELATIONS[section][0]], set()).add(len(record) == 2)
            if any(len(found) > 1 for found in plain.values()):
                return True
    return False


_READ_TOGETHER = (
    *("wasInformedBy", "wasAttributedTo", "wasAssociatedWith"),
    *("wasInfluencedBy", "actedOnBehalfOf"),
)


def assert_same_graphs(content: bytes, form: str, text: bytes) -> None:
    """That they are those which prov makes of it."""
    from rdflib.compare import isomorphic

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_prov = loaded(named(content, form)).serialize(format="rdf", rdf_format="nquads")
    expected, found = graphs(by_prov.encode(), "n-quads"), graphs(text, form)
    if form in ("turtle", "n-triples"):  # each parser has a name of its own for the only graph
        found = dict(zip(expected, found.values(), strict=True))
    assert found.keys() == expected.keys()
    assert all(isomorphic(found[name], expected[name]) for name in found)


def graphs(text: bytes, form: str) -> dict[str, Any]:
    """By name the graphs that a text in RDF has; the default one is "" there."""
    import rdflib

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = rdflib.Dataset()
        found.parse(data=text, format=_RDF[form])
        return {str(graph.identifier): graph for graph in found.graphs() if len(graph)}


def _assert_in_graph(content: bytes, form: str, text: bytes) -> None:
    """That the graph has each element, each of its attributes, and for each relation a way of
    one or two steps from end to end."""
    import rdflib

    graph = rdflib.Dataset(default_union=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph.parse(data=text, format=_RDF[form])
    document = loaded(named(content, form))
    for container in (document, *document.bundles):
        for record in container.get_records():
            if record.is_element():
                subject = rdflib.URIRef(record.identifier.uri)
                assert list(graph.predicate_objects(subject)), record
                for name in {name.uri for name, _ in record.extra_attributes}:
                    name = _IN_RDF.get(name, name)
                    assert (subject, rdflib.URIRef(name), None) in graph, (record, name)
            else:
                ends = [rdflib.URIRef(v.uri) for _, v in record.formal_attributes if _is_end(v)]
                one, two = ends[:2]
                there = set(graph.objects(one)) | {
                    far for near in graph.objects(one) for far in graph.objects(near)
                }
                assert two in there, record


def _is_end(value: Any) -> bool:
    return getattr(value, "uri", None) is not None


_PROV, _SYNTAX = "http://www.w3.org/ns/prov#", "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IN_RDF = {
    f"{_PROV}type": f"{_SYNTAX}type",
    f"{_PROV}label": "http://www.w3.org/2000/01/rdf-schema#label",
    f"{_PROV}location": f"{_PROV}atLocation",
}
