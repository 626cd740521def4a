"""Where a run's copies and products lie, and how models get there.

That is the run's folder in its store; or the folder that the script asks for, in which each
run has one of its own, named as yProv4ML names it: ``<experiment>_<number>``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yprov4wms import journal
from yprov4wms.ml import _turns
from yprov4wms.ml._ranks import once
from yprov4wms.store import write_atomically

if TYPE_CHECKING:
    import tempfile

    from yprov4wms.ml.recorder import Wanted
    from yprov4wms.store import RunFolder

#: In such a folder: of which run it is, and where that lies.
MARK = ".yprov4wms-run"


class Artifacts:
    """folder: of the run. rank: of this process, or None."""

    def __init__(self, folder: RunFolder, wanted: Wanted, rank: int | None) -> None:
        self._folder = folder
        self._wanted = wanted
        self._rank = rank
        self._products: str | None = None
        self._base = None if wanted.products is None else os.fspath(wanted.products)
        if self._base is not None and "://" not in self._base:
            with contextlib.suppress(OSError):  # the working directory may change
                self._base = os.path.abspath(self._base)  # noqa: PTH100
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @property
    def products(self) -> str:
        """Folder (or URL) of what is made for the user at the end; made when it is asked for.

        Raises OSError, or any error of the store's backend.
        """
        if self._products is None:
            self._products = self._folder.location or "."
            if self._base is not None:
                self._products = self._numbered(self._base)
        return self._products

    def _numbered(self, base: str) -> str:
        """All ranks have one."""
        place = self._folder.location
        if not place or self._rank is None:
            return self._new(base)
        with _turns.held(self._folder):
            if not self._folder.remote:
                return once(Path(place, _turns.FOLDER, "folder"), lambda: self._new(base))
            with contextlib.suppress(OSError):
                return self._folder.read(f"{_turns.FOLDER}/folder").decode()
            found = self._new(base)
            path = f"{place}/{_turns.FOLDER}/folder"
            journal.put(journal.filesystem(path), path, found.encode())
            return found

    def _new(self, base: str) -> str:
        name = re.sub(r"[/\0]", "_", self._wanted.experiment)
        number = self._wanted.number
        if "://" in base:
            found = _new_at_url(base.rstrip("/"), name, number)
        else:
            found = _new_folder(Path(base), name, number)
        told = json.dumps({"run": self._folder.run_id, "folder": self._folder.location})
        if self._folder.location:
            write_atomically(f"{found}/{MARK}", lambda file: file.write(told.encode()))
        return found

    @property
    def folder(self) -> str:
        """Local folder, or URL, of copies and models; with a run of several ranks, of this one."""
        return f"{self.products}/artifacts_GR{self._rank or 0}"

    def copy(self, path: str | os.PathLike[str], subfolder: str | None = None) -> str:
        """Copy a file or directory; returns where it is. A second one of a name has a number.

        Raises OSError.
        """
        import shutil

        source = Path(os.path.abspath(path))  # noqa: PTH100
        base = f"{self.folder}/{_inside(subfolder)}" if subfolder else self.folder
        if "://" in base:
            fs, target = journal.filesystem(base), f"{base}/{source.name}"
            journal.make_folder(fs, target)
            fs.put(str(source), target, recursive=source.is_dir())
            return target
        target = f"{base}/{source.name}"
        if os.path.realpath(target) == os.path.realpath(source):
            return target
        os.makedirs(base, exist_ok=True)  # noqa: PTH103
        if source.is_dir():
            target = _free(target)
            shutil.copytree(source, target)
        else:
            target = _free(target, source)
            shutil.copyfile(source, target)
        return target

    def save_model(self, name: str, model: Any, *, version: bool) -> str | None:
        """Write a model's weights by its framework; returns where they are.

        Keras: ``.keras``, whatever its backend. PyTorch: its ``state_dict()``, or a mapping
        that is one, ``.pt``. Others are not written: None. version: with a number that none
        before it has. Raises what the framework raises.
        """
        safe = re.sub(r"[/\0]", "_", name)
        torch, keras = sys.modules.get("torch"), sys.modules.get("keras")
        if keras is not None and isinstance(model, keras.Model):
            suffix = ".keras"
        elif torch is not None and callable(getattr(model, "state_dict", None)):
            suffix, model = ".pt", model.state_dict()
        elif torch is not None and _is_state(model, torch.Tensor):
            suffix = ".pt"
        else:
            return None
        base = f"{self.folder}/{safe}"
        remote = "://" in base
        if remote and self._temporary is None:
            import tempfile

            self._temporary = tempfile.TemporaryDirectory(prefix="yprov-")
        local = f"{self._temporary.name}/{safe}" if remote and self._temporary else base
        os.makedirs(local, exist_ok=True)  # noqa: PTH103
        if version:
            number = 0
            while os.path.exists(f"{local}/{safe}_{number}{suffix}"):  # noqa: PTH110
                number += 1
            safe = f"{safe}_{number}"
        target = f"{local}/{safe}{suffix}"
        if suffix == ".pt" and torch is not None:
            torch.save(model, target)
        else:
            model.save(target)
        if remote:
            url = f"{base}/{safe}{suffix}"
            journal.put(journal.filesystem(url), url, Path(target).read_bytes())
            return url
        return target


def _is_state(model: Any, tensor: type) -> bool:
    if not isinstance(model, Mapping) or not model:
        return False
    return all(isinstance(value, tensor) for value in model.values())


def _new_folder(base: Path, name: str, number: int | None) -> str:
    base.mkdir(parents=True, exist_ok=True)
    if number is not None:
        (base / f"{name}_{number}").mkdir(exist_ok=True)
        return str(base / f"{name}_{number}")
    number = _next(name, os.listdir(base))  # noqa: PTH208
    while True:
        try:
            (base / f"{name}_{number}").mkdir()
        except FileExistsError:
            number += 1
            continue
        return str(base / f"{name}_{number}")


def _new_at_url(base: str, name: str, number: int | None) -> str:
    if number is None:
        try:
            found = journal.filesystem(base).ls(base, detail=False)
        except FileNotFoundError:
            found = []
        number = _next(name, [entry.rstrip("/").rsplit("/", 1)[-1] for entry in found])
    return f"{base}/{name}_{number}"


def _next(name: str, there: list[str]) -> int:
    taken = re.compile(re.escape(name) + r"_(\d+)")
    found = [taken.fullmatch(entry) for entry in there]
    return max((int(match[1]) for match in found if match), default=-1) + 1


def _inside(subfolder: str) -> str:
    """As a relative path that does not lead out."""
    parts = [part for part in subfolder.split("/") if part not in ("", ".", "..")]
    return "/".join(parts) or "."


def _free(target: str, source: Path | None = None) -> str:
    """The path, or where something else is there one like it."""
    stem, suffix = os.path.splitext(target)  # noqa: PTH122
    number, found = 1, target
    while os.path.lexists(found):
        if source is not None and os.path.isfile(found) and _same(found, source):  # noqa: PTH113
            return found
        found = f"{stem}-{number}{suffix}"
        number += 1
    return found


def _same(one: str, other: Path) -> bool:
    import filecmp

    return filecmp.cmp(one, other, shallow=False)
