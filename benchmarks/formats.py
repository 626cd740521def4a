"""A document in each format: CPU, peak memory and size, against prov and rdflib.

    python benchmarks/formats.py [--sizes 1000 10000] [--no-peer]

Each measurement is a process of its own: from the PROV-JSON of a run of so many tasks (those of
``export.py``) to the format, on disk. The peer reads the same document and serialises it; where
prov writes the format for us, too, it is not measured again.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from export import ROOT, make_journal, peak_megabytes

FORMATS = ("prov-n", "turtle", "n-triples", "prov-xml", "prov-jsonld", "coarse")
PEERS = {"prov-n": {"format": "provn"}} | {
    form: {"format": "rdf", "rdf_format": name}
    for form, name in (("turtle", "turtle"), ("n-triples", "nt"))
}


def make_document(folder: Path, tasks: int) -> Path:
    from yprov4wms.export import document
    from yprov4wms.store import RunFolder

    make_journal(folder / ROOT, tasks)
    document.export(RunFolder(str(folder / ROOT)))
    return folder / ROOT / "prov.json"


def ours(content: bytes, form: str) -> bytes:
    from yprov4wms.export import coarse, formats

    if form == "coarse":
        return coarse.view(content, "prov.json")
    file = io.BytesIO()
    formats.write(content, form, file)
    return file.getvalue()


def peer(content: bytes, form: str) -> bytes:
    from prov.model import ProvDocument

    from yprov4wms.export.records import named_document

    document = ProvDocument.deserialize(content=named_document(content).decode())
    text: str = document.serialize(**PEERS[form])
    return text.encode()


def measure(source: Path, form: str, who: str) -> None:
    import warnings

    warnings.simplefilter("ignore")
    content = source.read_bytes()
    begin = time.process_time()
    text = (ours if who == "ours" else peer)(content, form)
    source.with_suffix(".out").write_bytes(text)
    found = {
        "cpu": time.process_time() - begin,
        "rss": peak_megabytes(),
        "size": len(text) / 1e6,
    }
    print(json.dumps(found))


def measured(source: Path, form: str, who: str) -> str:
    command = [sys.executable, __file__, "--measure", str(source), form, who]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"failed: {done.stderr.strip().splitlines()[-1]}"
    found = json.loads(done.stdout)
    return f"{found['cpu']:7.1f} s {found['rss']:7.0f} MB {found['size']:7.1f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        source, form, who = options.measure
        measure(Path(source), form, who)
        return
    print("CPU, peak memory, size of the text")
    for tasks in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            source = make_document(Path(folder), tasks)
            for form in FORMATS:
                print(f"{tasks:7} {form:12} {measured(source, form, 'ours')}", flush=True)
                if form in PEERS and not options.no_peer:
                    print(f"{'':7} {'  prov':12} {measured(source, form, 'peer')}", flush=True)


if __name__ == "__main__":
    main()
