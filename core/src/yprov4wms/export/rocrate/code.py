"""The code of a run in its crate: the workflow's files, and the scripts of its steps."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from posixpath import dirname, normpath

from msgspec.structs import replace

from yprov4wms.events import File, FileType
from yprov4wms.export.rocrate.copying import NotSameError, inside, unchanged
from yprov4wms.export.rocrate.data import Data, Version
from yprov4wms.masking import Masker
from yprov4wms.run import Run
from yprov4wms.store import RunFolder

#: Of what a run reads at its start, what is code.
_ROLES = {"snakefile", "included-snakefile", "workflow"}
_FOLDER = "workflow"
_LARGEST = 10 << 20


class Code:
    """Puts the code into the crate where it still is what ran; what looks like a secret is masked.

    masked: the files in which something was. recorded: why the workflow's file is a text of ours.
    """

    def __init__(self, run: Run, folder: RunFolder, data: Data) -> None:
        self._run, self._folder, self._data = run, folder, data
        main = run.start.main_file
        self._base = dirname(data.absolute(main.path)) if main is not None else ""
        self._began = run.times()[0]
        self.masked: list[str] = []
        self.recorded: str | None = None

    def main(self) -> Version:
        """The workflow's file: as it was; else packed into one document, as the engine had it;
        else a text of what the record says of its steps."""
        others = [self.file(file) for file in self._others()]
        main, start = self._run.start.main_file, self._run.start
        found = self.file(main) if main is not None else None
        packed = self._packed()
        if found is not None and found.stored:
            if packed is not None:
                packed.derived = found.reference
        elif packed is not None:
            found = packed
        else:
            self.recorded = "its file is not known" if main is None else "its file has changed"
            found = self._data.store(
                f"{_FOLDER}/recorded.txt",
                _recorded(self._run, self.recorded),
                name=f"{start.workflow}, as far as it was recorded",
                encodingFormat="text/plain",
            )
        found.about["isBasedOn"] = [
            other.reference
            for other in dict.fromkeys(others)
            if other.stored and other is not found
        ]
        return found

    def file(self, file: File) -> Version:
        """A file of code: in the crate, or where it cannot be, by its place."""
        version = self._data.outside(file)
        if version.is_code:
            return version
        version.is_code = True
        content = self._content(version.file)
        if content is None:
            return version
        text = content.decode("utf-8", "surrogateescape")
        masked = Masker().text(text)
        if masked != text:
            self.masked.append(file.path)
            version.about["description"] = "What looks like a secret is masked in this copy"
            content = masked.encode("utf-8", "surrogateescape")
            digest = hashlib.sha256(content).hexdigest()
            version.file = replace(version.file, size=len(content), sha256=digest, sha1=None)
        path = inside(_FOLDER, self._data.absolute(file.path), self._base)
        self._data.put(version, path, content)
        return version

    def _others(self) -> Iterator[File]:
        for file in self._run.start.files or ():
            if file.role in _ROLES:
                yield file
        for step in self._run.steps.values():
            if step.script is not None:
                yield step.script

    def _content(self, file: File) -> bytes | None:
        """What ran, if it is still there."""
        place = self._data.absolute(file.path)
        if file.type is not FileType.FILE or (file.size or 0) > _LARGEST:
            return None
        if not place.startswith("/"):
            return None
        try:
            if file.sha256 or file.sha1:
                with unchanged(place, file) as content:
                    return b"".join(iter(lambda: content.read(1 << 20), b""))
            return Path(place).read_bytes() if self._is_older(place) else None
        except (NotSameError, OSError, ValueError):
            return None

    def _is_older(self, place: str) -> bool:
        """Whether a file, of which there is no checksum, was last changed before the run."""
        status = os.stat(place)  # noqa: PTH116
        if not self._began or not os.path.isfile(place) or status.st_size > _LARGEST:  # noqa: PTH113
            return False
        return status.st_mtime < datetime.fromisoformat(self._began).timestamp()

    def _packed(self) -> Version | None:
        """The workflow as one document, as it was kept with the record."""
        packed = self._run.start.packed
        path = normpath(packed.path) if packed is not None else ""
        if packed is None or path.startswith(("/", "../")):
            return None
        try:
            content = self._folder.read(path)
        except (OSError, ValueError):
            return None
        digest = hashlib.sha256(content).hexdigest()
        if packed.sha256 not in (None, digest):
            return None
        return self._data.store(
            f"{_FOLDER}/packed{Path(path).suffix}",
            content,
            name=f"{self._run.start.workflow}, packed into one document",
            sha256=digest,
        )


def _recorded(run: Run, reason: str) -> bytes:
    lines = [f"The workflow {run.start.workflow}, as it was recorded: {reason}."]
    for step in run.steps.values():
        lines += ["", f"Step {step.step}" + (f" ({step.type})" if step.type else "")]
        if step.source:
            lines.append(f"from {step.source}" + (f", line {step.line}" if step.line else ""))
        lines += [text for text in (step.doc, step.code) if text]
    return "\n".join([*lines, ""]).encode("utf-8", "replace")
