"""What was pushed from a run's folder, and where to: ``pushed.json`` there."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from yprov4wms.push.service import PushError
from yprov4wms.store import RunFolder

NAME = "pushed.json"


class Begun(msgspec.Struct, omit_defaults=True):
    """An upload whose end is not known.

    since: a time, by the service's clock, before it began (ISO 8601). parent: the document of
        which it is a new version.
    """

    sha256: str
    since: str = ""
    parent: str | None = None


class Sent(msgspec.Struct, omit_defaults=True):
    """A document that the service has.

    id: the service's name of it. time: ours, of the upload (ISO 8601).
    """

    id: str
    sha256: str
    time: str
    version: int | None = None


class Entry(msgspec.Struct, omit_defaults=True):
    """One document at one service. permissions: given there, by user."""

    sent: Sent | None = None
    begun: Begun | None = None
    permissions: dict[str, str] = {}


class _Place(msgspec.Struct):
    documents: dict[str, Entry] = {}


class _Pushed(msgspec.Struct):
    places: dict[str, _Place] = {}
    version: int = 1


class Memory:
    """Of one run about one service. Raises PushError where the file is not what was written."""

    def __init__(self, folder: RunFolder, service: str, url: str) -> None:
        self._folder = folder
        try:
            self._pushed = msgspec.json.decode(folder.read(NAME), type=_Pushed)
        except FileNotFoundError:
            self._pushed = _Pushed()
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise PushError(
                f"{folder.location}/{NAME}: {error}; it says what was pushed before: mend it, or "
                "remove it to push the run as a new document"
            ) from error
        self._documents = self._pushed.places.setdefault(f"{service} {url}", _Place()).documents

    def entry(self, key: str) -> Entry:
        """What is known of a document; empty for one never sent."""
        return self._documents.get(key) or Entry()

    def begin(self, key: str, begun: Begun) -> None:
        """Keep that an upload begins, before it does."""
        self._documents.setdefault(key, Entry()).begun = begun
        self._save()

    def done(self, key: str, identifier: str, sha256: str, version: int | None = None) -> None:
        entry = self._documents.setdefault(key, Entry())
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry.sent, entry.begun = Sent(identifier, sha256, now, version), None
        self._save()

    def permitted(self, key: str, user: str, level: str) -> None:
        self._documents.setdefault(key, Entry()).permissions[user] = level
        self._save()

    def _save(self) -> None:
        self._folder.put(NAME, msgspec.json.format(msgspec.json.encode(self._pushed), indent=1))
