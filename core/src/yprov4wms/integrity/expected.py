"""Which files should lie where after a run, as its document tells."""

from __future__ import annotations

from collections.abc import Iterator
from posixpath import isabs, join, normpath
from typing import Any

import msgspec

from yprov4wms.events import FileType
from yprov4wms.prov.vocabulary import Level, Type

#: Why what such a type of file names is not looked at.
NOT_LOOKED_AT = {
    FileType.URL: "lies at a URL",
    FileType.ASSET: "is known by its name alone",
    FileType.LITERAL: "is text of the workflow's",
    FileType.FIFO: "is a pipe",
    FileType.OTHER: "is a device or socket",
}
#: Their paths are not of files that the run used or made where it worked.
_ELSEWHERE = (Type.BUNDLE, Type.SOFTWARE, Type.ENVIRONMENT)


class Expected(msgspec.Struct):
    """The last version of what the run knew at a path.

    path: as it is recorded. place: absolute, None where that is not known. skipped: why it is
    not looked at. gone: why it may be gone. members: paths in a directory, as far as they are
    told; count: of all its files.
    """

    path: str
    place: str | None = None
    directory: bool = False
    size: int | None = None
    sha256: str | None = None
    sha1: str | None = None
    mtime_ns: int | None = None
    target: str | None = None
    members: list[str] | None = None
    count: int | None = None
    skipped: str | None = None
    gone: str | None = None
    maker: str | None = None
    moment: tuple[str, bool] = ("", False)


class _Entity(msgspec.Struct, gc=False):
    type: Any = msgspec.field(name="prov:type", default=None)
    path: Any = msgspec.field(name="yprov4wms:path", default=None)
    size: Any = msgspec.field(name="yprov4wms:size", default=None)
    sha256: Any = msgspec.field(name="yprov4wms:sha256", default=None)
    sha1: Any = msgspec.field(name="yprov4wms:sha1", default=None)
    file_type: Any = msgspec.field(name="yprov4wms:file_type", default=None)
    target: Any = msgspec.field(name="yprov4wms:link_target", default=None)
    count: Any = msgspec.field(name="yprov4wms:member_count", default=None)
    together: Any = msgspec.field(name="yprov4wms:put_together", default=None)
    temporary: Any = msgspec.field(name="yprov4wms:temporary", default=None)


class _Activity(msgspec.Struct, gc=False):
    start: Any = msgspec.field(name="prov:startTime", default=None)
    end: Any = msgspec.field(name="prov:endTime", default=None)
    label: Any = msgspec.field(name="prov:label", default=None)
    level: Any = msgspec.field(name="yprov4wfs:level", default=None)
    directory: Any = msgspec.field(name="yprov4wms:directory", default=None)


class _Event(msgspec.Struct, gc=False):
    """A use or a generation."""

    entity: Any = msgspec.field(name="prov:entity", default=None)
    activity: Any = msgspec.field(name="prov:activity", default=None)
    time: Any = msgspec.field(name="prov:time", default=None)


class _Derived(msgspec.Struct, gc=False):
    new: Any = msgspec.field(name="prov:generatedEntity", default=None)
    old: Any = msgspec.field(name="prov:usedEntity", default=None)


class _Member(msgspec.Struct, gc=False):
    collection: Any = msgspec.field(name="prov:collection", default=None)
    entity: Any = msgspec.field(name="prov:entity", default=None)


class _Scope(msgspec.Struct, gc=False):
    entity: dict[str, _Entity] = {}
    activity: dict[str, _Activity] = {}
    used: dict[str, _Event] = {}
    wasGeneratedBy: dict[str, _Event] = {}  # noqa: N815 - PROV-JSON's name
    wasDerivedFrom: dict[str, _Derived] = {}  # noqa: N815
    hadMember: dict[str, _Member] = {}  # noqa: N815


class _Document(_Scope, gc=False):
    bundle: dict[str, _Scope] = {}


_decode = msgspec.json.Decoder(_Document).decode


def expected(content: bytes, directory: str | None = None) -> list[Expected]:
    """What lies at each path that a PROV-JSON document of ours names, in the document's order.

    directory: where the run's directory is now, where that has moved. Raises ValueError for
    what is no such document.
    """
    try:
        document = _decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        hint = "(see: yprov4wms validate)"
        raise ValueError(f"not a PROV-JSON document of this project: {error} {hint}") from error
    last: dict[str, Expected] = {}
    root = _root(document)
    for scope in (document, *document.bundle.values()):
        for one in _versions(scope, root, directory):
            key = one.place or one.path
            known = last.get(key)
            if known is None or one.moment >= known.moment:
                last[key] = one
    return list(last.values())


def _root(document: _Document) -> str | None:
    """The directory of the document's own run."""
    found = {
        activity.level: activity.directory
        for activity in reversed(document.activity.values())
        if isinstance(activity.directory, str) and isinstance(activity.level, str)
    }
    return found.get(Level.WORKFLOW) or found.get(Level.ML_RUN)


def _versions(scope: _Scope, root: str | None, directory: str | None) -> Iterator[Expected]:
    bases = {
        _prefix(name): activity.directory
        for name, activity in reversed(scope.activity.items())
        if isinstance(activity.directory, str)
    }
    moments = _moments(scope)
    moved, staged = _moved(scope), _staged(scope)
    inside = _members(scope)
    in_store = _diffs(scope)
    for name, entity in scope.entity.items():
        if entity.type in _ELSEWHERE or not isinstance(entity.path, str) or not entity.path:
            continue
        one = _expected(entity)
        base = bases.get(_prefix(name), root)
        one.place = _place(entity.path, base, root, directory)
        one.moment, one.maker = moments.get(name, (("", False), None))
        if name in in_store:
            one.skipped, one.place = "lies in the run's folder", f"store:{entity.path}"
        elif one.place is None and one.skipped is None:
            one.skipped = "is relative, and the document does not tell to what (--directory)"
        if name in moved:
            one.gone = f"moved to {moved[name]}"
        elif name in staged:
            one.gone = f"staged for an ML run, from {staged[name]}"
        if one.directory:
            paths = (scope.entity[m].path for m in inside.get(name, ()) if m in scope.entity)
            start = entity.path.rstrip("/") + "/"
            one.members = [
                path[len(start) :]
                for path in paths
                if isinstance(path, str) and path.startswith(start)
            ]
        yield one


def _expected(entity: _Entity) -> Expected:
    kind = entity.file_type or FileType.FILE
    skipped = NOT_LOOKED_AT.get(kind)
    if "://" in entity.path:
        skipped = NOT_LOOKED_AT[FileType.URL]
    elif entity.together is True:
        skipped = "was put together by the engine, and lies nowhere"
    return Expected(
        entity.path,
        directory=kind == FileType.DIRECTORY or entity.type == Type.COLLECTION,
        size=_number(entity.size),
        sha256=_text(entity.sha256),
        sha1=_text(entity.sha1),
        target=_text(entity.target),
        count=_number(entity.count),
        skipped=skipped,
        gone="temporary: the engine removes it" if entity.temporary is True else None,
    )


def _place(path: str, base: str | None, root: str | None, moved: str | None) -> str | None:
    """Where a recorded path is now."""
    if "://" in path:
        return None
    if not isabs(path):
        if base is None:
            return normpath(join(moved, path)) if moved is not None else None
        path = join(base, path)
    path = normpath(path)
    if moved is not None and root is not None:
        around = normpath(root).rstrip("/") + "/"
        if path.startswith(around):
            return normpath(join(moved, path[len(around) :]))
    return path


def _moments(scope: _Scope) -> dict[str, tuple[tuple[str, bool], str | None]]:
    """By entity, when it was last known to be there, whether it was made then, and by whom."""
    found: dict[str, tuple[tuple[str, bool], str | None]] = {}
    for section, made in ((scope.used, False), (scope.wasGeneratedBy, True)):
        for event in section.values():
            activity = scope.activity.get(event.activity) if _text(event.activity) else None
            if not isinstance(event.entity, str):
                continue
            around = (activity.end if made else activity.start) if activity else None
            moment = (_text(event.time) or _text(around) or "", made)
            known = found.get(event.entity)
            if known is None or (made and not known[0][1]) or moment > known[0]:
                label = _text(activity.label) if activity is not None and made else None
                found[event.entity] = moment, label
    return found


def _moved(scope: _Scope) -> dict[str, str]:
    """Entities of which the engine has moved the content, and to where."""
    outer = {name for name, activity in scope.activity.items() if activity.level == Level.WORKFLOW}
    by_run = {
        event.entity for event in scope.wasGeneratedBy.values() if _text(event.activity) in outer
    }
    found: dict[str, str] = {}
    for one in scope.wasDerivedFrom.values():
        if _text(one.new) in by_run and _text(one.old) in scope.entity and one.new in scope.entity:
            new, old = scope.entity[one.new], scope.entity[one.old]
            same = new.sha256 is not None and new.sha256 == old.sha256
            if same and new.path != old.path:
                found[one.old] = str(new.path)
    return found


def _staged(scope: _Scope) -> dict[str, str]:
    """What ML runs used at a place of the engine's making (CWL), and where it came from."""
    inner = {
        name
        for name, activity in scope.activity.items()
        if activity.level in (Level.ML_RUN, Level.ML_CONTEXT)
    }
    used = {_text(event.entity) for event in scope.used.values() if _text(event.activity) in inner}
    made = {_text(event.entity) for event in scope.wasGeneratedBy.values()}
    found: dict[str, str] = {}
    staged = used - made
    for one in scope.wasDerivedFrom.values():
        if _text(one.new) in staged and _text(one.old) in scope.entity:
            new, old = scope.entity.get(one.new), scope.entity[one.old]
            same = new is not None and new.sha256 is not None and new.sha256 == old.sha256
            if same and new is not None and new.path != old.path:
                found[one.new] = str(old.path)
    return found


def _members(scope: _Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in scope.hadMember.values():
        if isinstance(one.collection, str) and isinstance(one.entity, str):
            found.setdefault(one.collection, []).append(one.entity)
    return found


def _diffs(scope: _Scope) -> set[str]:
    """What source code of ML runs is derived from: differences, kept beside their record."""
    return {
        one.old
        for one in scope.wasDerivedFrom.values()
        if _text(one.new) in scope.entity
        and _text(one.old)
        and scope.entity[one.new].type == Type.SOURCE_CODE
    }


def _prefix(name: str) -> str:
    return name.partition(":")[0]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> int | None:
    """A literal of a whole number."""
    text = value.get("$") if isinstance(value, dict) else None
    return int(text) if isinstance(text, str) and text.isdecimal() and len(text) < 20 else None
