"""Software in a crate: the engine, its language, what steps need, container images."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from yprov4wms.events import RunStarted, Software
from yprov4wms.export.rocrate.crate import Crate, Reference, reference, uri

_TERMS = "https://w3id.org/ro/terms/workflow-run#"
_LANGUAGES = "https://w3id.org/workflowhub/workflow-ro-crate#"
_CWL: dict[str, Any] = {
    "id": f"{_LANGUAGES}cwl",
    "name": "Common Workflow Language",
    "alternateName": "CWL",
    "url": "https://www.commonwl.org/",
}
#: By engine.
_KNOWN: dict[str, dict[str, Any]] = {
    "snakemake": {
        "id": f"{_LANGUAGES}snakemake",
        "name": "Snakemake",
        "url": "https://snakemake.readthedocs.io/",
    },
    "cwltool": _CWL,
    "toil": _CWL,
    "toil-cwl-runner": _CWL,
    "airflow": {
        "id": "https://www.python.org/",
        "name": "Python",
        "description": "A DAG of Apache Airflow",
        "url": "https://www.python.org/",
    },
}
_HOMES = {
    "snakemake": "https://snakemake.github.io/",
    "cwltool": "https://github.com/common-workflow-language/cwltool",
    "toil": "https://github.com/DataBiosphere/toil",
    "toil-cwl-runner": "https://github.com/DataBiosphere/toil",
    "airflow": "https://airflow.apache.org/",
}
_SIF = (".sif", ".simg", ".img")
#: Where images are Singularity's own.
_SIF_SCHEMES = ("library", "shub", "oras")
_DIGEST = re.compile(r"(?:.*@)?sha256:([0-9a-f]{64})")


class Programs:
    """Names programs and images of one run, each described once.

    prefix: of ids that only this run has.
    """

    def __init__(self, crate: Crate, start: RunStarted, prefix: str) -> None:
        self._crate, self._start, self._prefix = crate, start, prefix
        self._known: dict[str, Reference] = {}

    def language(self) -> Reference:
        engine = self._start.engine.name
        known = dict(_KNOWN.get(engine) or {"id": f"#{quote(engine, safe='')}", "name": engine})
        version = (self._start.attributes or {}).get("cwl_version")
        if known["id"] == _CWL["id"] and isinstance(version, str):
            known |= {
                "version": version,
                "identifier": f"https://w3id.org/cwl/{version}/",
            }
        return self._crate.add(known.pop("id"), "ComputerLanguage", **known)

    def engine(self, packages: Reference | None) -> Reference:
        """packages: the file that lists what is installed beside it."""
        engine = self._start.engine
        home = engine.url or _HOMES.get(engine.name)
        plugins = [one for one in self._start.software or () if one.kind == "plugin"]
        return self._crate.add(
            f"{self._prefix}/engine",
            "SoftwareApplication",
            name=engine.name,
            softwareVersion=engine.version,
            url=uri(home) if home and "://" in home else None,
            softwareRequirements=[
                *(self.program(plugin) for plugin in plugins),
                *([packages] if packages else []),
            ],
        )

    def program(self, found: Software) -> Reference:
        """What a step needs, or what is beside the engine."""
        key = _hashed(repr(found))
        if key not in self._known:
            url = found.url if found.url and "://" in found.url else None
            self._known[key] = self._crate.tell(
                f"{self._prefix}/software/{key}",
                "SoftwareApplication",
                name=found.name,
                additionalType=found.kind,
                softwareVersion=found.version,
                url=uri(url) if url else None,
                identifier=found.path,
                sha256=found.sha256,
            )
        return self._known[key]

    def images(self, software: Iterable[Software] | None) -> list[Reference]:
        """Of the containers among it."""
        return [self._image(one) for one in software or () if one.kind == "container"]

    def _image(self, found: Software) -> Reference:
        key = _hashed(repr(found))
        if key not in self._known:
            scheme, colons, rest = found.name.partition("://")
            path = rest if colons else found.name
            is_file = path.startswith(("/", "./")) or path.endswith(_SIF)
            is_sif = path.endswith(_SIF) or (bool(colons) and scheme in _SIF_SCHEMES)
            registry, name, tag = (None, path, None) if is_file else _parts(path)
            if registry is None and colons and scheme == "docker":
                registry = "docker.io"  # such URIs have that default; others depend on set-up
            digest = found.sha256 or next(
                (m[1] for text in (found.url, found.name) if (m := _DIGEST.match(text or ""))), None
            )
            kind = "SIFImage" if is_sif else "DockerImage"
            self._known[key] = self._crate.tell(
                f"{self._prefix}/image/{key}",
                "ContainerImage",
                additionalType=reference(_TERMS + kind),
                name=name,
                registry=registry,
                tag=tag,
                sha256=digest,
                identifier=found.url or (found.name if is_file else None),
            )
        return self._known[key]


def _parts(image: str) -> tuple[str | None, str, str | None]:
    """The registry, name and tag of an image."""
    image = image.partition("@")[0]
    first, slash, rest = image.partition("/")
    registry = None
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, image = first, rest
    name, _, tag = image.partition(":")
    return registry, name, tag or None


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
