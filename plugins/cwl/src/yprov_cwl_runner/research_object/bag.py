"""The research object's folder, a bag of files with their checksums (RFC 8493)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from yprov4wms.plain import text

PACKED, MANIFEST = "workflow/packed.cwl", "metadata/manifest.json"
INPUTS, OUTPUTS = "workflow/primary-job.json", "workflow/primary-output.json"


class Bag:
    """The folder, which is a BagIt bag: its manifests have a checksum of each file in it."""

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self.folder = folder
        #: Paths of what is missing, or is not what it was.
        self.changed = sorted(self._compare())
        if self.changed:
            some = ", ".join(self.changed[:5]) + (", ..." if len(self.changed) > 5 else "")
            warn(f"{folder}: {len(self.changed)} files are not as the manifests have them: {some}")
        if not (folder / MANIFEST).is_file():
            warn(f"{folder} has no {MANIFEST}: cwltool did not finish it")
        #: The command line may hold what cwltool keeps secret elsewhere.
        self.secret = re.search(r"cwltool(:|#)Secrets", self.read(PACKED)) is not None

    def read(self, name: str) -> str:
        place = self.folder / name
        return place.read_text(errors="replace") if place.is_file() else ""

    def json(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads(self.read(name) or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def info(self, name: str) -> str:
        found = re.search(rf"^{name}: *(.+)$", self.read("bag-info.txt"), re.MULTILINE)
        return text(found[1].strip()) if found else ""

    def _compare(self) -> set[str]:
        told: dict[tuple[str, str], set[str]] = {}
        for manifest in sorted(self.folder.glob("*manifest-*.txt")):
            for line in self.read(manifest.name).splitlines():
                digest, _, path = line.partition(" ")
                # A file that is written twice has two lines.
                key = (path.strip(), manifest.stem.rpartition("-")[2])
                told.setdefault(key, set()).add(digest.lower())
        for place in self.folder.glob("data/??/*"):
            told.setdefault((str(place.relative_to(self.folder)), "sha1"), set()).add(place.name)
        return {text(path) for (path, kind), known in told.items() if self._is(path, kind, known)}

    def _is(self, path: str, kind: str, known: set[str]) -> bool:
        place = (self.folder / path).resolve()
        if kind not in ("md5", "sha1", "sha256", "sha512"):
            return False
        if not place.is_relative_to(self.folder.resolve()) or not place.is_file():
            return True
        with place.open("rb") as file:
            return hashlib.file_digest(file, kind).hexdigest() not in known
