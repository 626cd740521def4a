"""Attributes of activities and plans: names from events' fields, figures with unit and method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yprov4wms.events import Figure, Git, Person, Software
from yprov4wms.prov.values import literal, local_name, string

_names: dict[tuple[str, str], str] = {}
_figures: dict[tuple[str, str, str, str | None], tuple[str, str]] = {}


def keyed(
    prefix: str, values: Mapping[str, Any] | None, *, null: str | None = None
) -> dict[str, Any]:
    """``yprov4wms:<prefix>_<key>`` for each item; keys of nested mappings follow a dot.

    A key that cannot be part of a name stands beside, as ``..._name``. null: what stands for
    None, which else is left out.
    """
    found: dict[str, Any] = {}
    _add(found, f"{prefix}_", "", values or {}, null)
    return found


def _add(
    found: dict[str, Any], prefix: str, path: str, values: Mapping[str, Any], null: str | None
) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            _add(found, prefix, f"{path}{key}.", value, null)
            continue
        if value is None:
            if null is None:
                continue
            value = null
        key = path + key
        name = _names.get((prefix, key))
        if name is None:
            if len(_names) > 10_000:
                _names.clear()
            name = _names[prefix, key] = f"yprov4wms:{local_name(f'{prefix}{key}')}"
        while name in found:  # ``{"a": {"b": 1}, "a.b": 2}``
            name += "_"
        found[name] = value
        if not name.endswith(key):
            found.setdefault(f"{name}_name", key)


def figures(usage: Mapping[str, Figure] | None) -> str:
    """``,"yprov4wms:<figure>":...`` with unit, method, bounds and scope, as JSON text."""
    text = ""
    for name, figure in (usage or {}).items():
        key = (name, figure.unit, figure.method, figure.scope)
        constant = _figures.get(key)
        if constant is None:
            if len(_figures) > 10_000:
                _figures.clear()
            constant = _figures[key] = _constant_part(name, figure)
        base, rest = constant
        if figure.value is not None:
            text += f'{base}":{literal(figure.value)}'
        if figure.low is not None:
            text += f'{base}_low":{literal(figure.low)}'
        if figure.high is not None:
            text += f'{base}_high":{literal(figure.high)}'
        text += rest
    return text


def _constant_part(name: str, figure: Figure) -> tuple[str, str]:
    base = f',"yprov4wms:{local_name(name)}'
    rest = f'{base}_unit":{string(figure.unit)}{base}_method":{string(figure.method)}'
    if figure.scope is not None:
        rest += f'{base}_scope":{string(figure.scope)}'
    return base, rest


def git(found: Git | None) -> dict[str, Any]:
    """The state of the code; ``git_changed`` lists what differs from the commit."""
    if found is None:
        return {}
    return {
        "yprov4wms:git_commit": found.commit,
        "yprov4wms:git_branch": found.branch,
        "yprov4wms:git_remote": found.remote,
        "yprov4wms:git_dirty": found.dirty,
        "yprov4wms:git_changed": "\n".join(found.changed) if found.changed else None,
    }


def software(found: Software) -> dict[str, Any]:
    return {
        "yprov4wms:software_kind": found.kind,
        "yprov4wms:name": found.name,
        "yprov4wms:version": found.version,
        "yprov4wms:path": found.path,
        "yprov4wms:sha256": found.sha256,
        "yprov4wms:url": found.url,
    }


def orcid(found: Person) -> str | None:
    """The ORCID iD as a URI, its one form (ORCID)."""
    return f"https://orcid.org/{found.orcid}" if found.orcid else None
