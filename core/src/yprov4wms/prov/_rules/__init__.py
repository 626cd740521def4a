"""How `yprov4wms.prov.rules` checks a document: bytes, names, attributes, records, graph."""
