"""Do two versions of prov read a document to the same values?

    python benchmarks/read_equal.py PYTHON_WITH_PROV_1.5.1 PYTHON_WITH_NEWEST_PROV FILE...

Each interpreter reads each document and tells a digest over its records: kind, identifier and
attributes with their types and values as full URIs, in an order of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys

READER = """
import datetime, hashlib, json, sys
from prov.model import Literal, ProvDocument, QualifiedName
try:
    from importlib.metadata import version
except ImportError:
    version = lambda name: "?"

def value(found):
    if isinstance(found, QualifiedName):
        return ["qname", found.uri]
    if isinstance(found, Literal):
        return ["literal", str(found.value), getattr(found.datatype, "uri", str(found.datatype))]
    if isinstance(found, datetime.datetime):
        return ["time", found.astimezone(datetime.timezone.utc).isoformat()]
    return [type(found).__name__, repr(found)]

def record(found):
    identifier = found.identifier
    named = "" if identifier is None or found.is_relation() else identifier.uri
    pairs = sorted([name.uri, *value(content)] for name, content in found.attributes)
    return json.dumps([found.get_type().uri, named, pairs])

with open(sys.argv[1]) as file:
    document = ProvDocument.deserialize(file)
containers = [document, *sorted(document.bundles, key=lambda b: b.identifier.uri)]
digest, count = hashlib.sha256(), 0
for container in containers:
    lines = sorted(map(record, container.get_records()))
    count += len(lines)
    for line in lines:
        digest.update(line.encode() + b"\\n")
print(json.dumps({"prov": version("prov"), "records": count, "digest": digest.hexdigest()}))
"""


def read(python: str, file: str) -> dict[str, object]:
    command = [python, "-c", READER, file]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def main() -> int:
    if len(sys.argv) < 4:
        print(__doc__)
        return 2
    one, two, *files = sys.argv[1:]
    differ = False
    for file in files:
        first, second = read(one, file), read(two, file)
        same = first["digest"] == second["digest"]
        differ |= not same
        print(
            f"{file}: prov {first['prov']} and {second['prov']}, {first['records']} records: "
            + ("equal" if same else "DIFFERENT")
        )
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
