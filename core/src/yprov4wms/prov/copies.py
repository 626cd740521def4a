"""Artifacts of a child that are copies of files of the attempt around it.

MLflow keeps a copy of what is logged as an artifact and does not say of which file. Of the
attempt's files it is the one of the same name and checksum, where but one is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from posixpath import basename
from typing import Any

from yprov4wms.events import File

#: Says that an entity is an artifact's file, and its path among the artifacts.
ARTIFACT = "yprov4wms:artifact_path"


def artifacts(
    entities: Mapping[str, Mapping[str, Any]],
    taken: Collection[str],
    makes: Mapping[str, tuple[str, File]],
    uses: Mapping[str, tuple[str, File]],
) -> dict[str, tuple[str, bool]]:
    """By identifier of such an artifact the version of the attempt's file, and whether the
    attempt made that.

    taken: entities that are versions themselves. makes, uses: the attempt's, by path.
    """
    kept = {
        name: (basename(path), sha256)
        for name, values in entities.items()
        if name not in taken
        and isinstance(path := values.get(ARTIFACT), str)
        and isinstance(sha256 := values.get("yprov4wms:sha256"), str)
    }
    found: dict[str, tuple[str, bool]] = {}
    for versions in (makes, uses) if kept else ():
        by_content: dict[tuple[str, str | None], set[str]] = {}
        for version, file in versions.values():
            by_content.setdefault((basename(file.path), file.sha256), set()).add(version)
        for name, key in kept.items():
            same = by_content.get(key, set())
            if len(same) == 1 and name not in found:
                found[name] = next(iter(same)), versions is makes
    return found
