"""Documents in RDF, as prov writes them: whether they say what they should."""

from __future__ import annotations

import warnings
from importlib.metadata import version
from typing import Any

#: Up to here prov's reader of RDF takes a relation with an attribute apart.
READS_RDF = tuple(map(int, version("prov").split(".")[:2])) >= (3, 2)


def assert_in_rdf(document: Any, form: str) -> None:
    """That a prov document is whole in this format of RDF, and reads back equal.

    Where prov cannot read it, that the graph has each element, each of its attributes, and for
    each relation a way of one or two steps from end to end.
    """
    import rdflib
    from prov.model import ProvDocument

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = document.serialize(format="rdf", rdf_format=form)
        if READS_RDF:
            assert ProvDocument.deserialize(content=text, format="rdf", rdf_format=form) == document
        graph = rdflib.Dataset(default_union=True)
        graph.parse(data=text, format=form)
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


_PROV, _RDF = "http://www.w3.org/ns/prov#", "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IN_RDF = {
    f"{_PROV}type": f"{_RDF}type",
    f"{_PROV}label": "http://www.w3.org/2000/01/rdf-schema#label",
    f"{_PROV}location": f"{_PROV}atLocation",
    f"{_PROV}role": f"{_PROV}hadRole",
}
