"""Files that go from task to task by their children alone: the engine tells nothing of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from yprov4wms.events import File, FileType
from yprov4wms.prov.attempts import attempt_times
from yprov4wms.prov.files import Files
from yprov4wms.prov.names import Names
from yprov4wms.prov.values import string
from yprov4wms.prov.writer import ProvJsonWriter
from yprov4wms.run import Attempt, Run


class _Mention(NamedTuple):
    """What one child, or one attempt, says of what lay at a path."""

    entity: str
    sha256: str | None
    attempt: Attempt
    child: str | None
    write: Callable[[], None]
    #: When it was made, or first used, where that is known apart from the attempt's times.
    moment: str | None = None


class Tell(Protocol):
    """Takes what a run says of what lay at a path, by that run's own name for it.

    moment: when what made it had ended, or what used it began, if that is known.
    """

    def __call__(
        self, path: str, sha256: str | None, made: bool, entity: str, moment: str | None, /
    ) -> None: ...


class Outer(NamedTuple):
    """What takes the files that a run has from elsewhere, and those that it left.

    deep: also those that only its children tell of.
    """

    tell: Tell
    deep: bool


def _written() -> None:
    """For an entity that is in the document already."""


class Handover:
    """Ties what was used to what was left at the same path, where no engine does.

    It is the same file where both checksums are known and equal and the user did not begin
    before the maker; without checksums, where the user's task depends on the maker's.
    names: of the run's records. outer: takes the files that the run has from
    elsewhere, and those that it left.
    """

    def __init__(
        self,
        writer: ProvJsonWriter,
        run: Run,
        files: Files,
        names: Names,
        children: bool,
        outer: Outer | None = None,
    ) -> None:
        self._writer = writer
        self._run = run
        self._files = files
        self._names = names
        #: Whether there are children at all, without which there is nothing to tie.
        self._children = children or outer is not None
        self._outer = outer
        self._made: dict[str, list[_Mention]] = {}
        self._used: dict[str, list[_Mention]] = {}
        self._upstream: dict[str, set[str]] = {}

    def outside(self, file: File, entity: str, attempt: Attempt) -> None:
        """An attempt used a file that no task of the run is known to have made."""
        if self._children:
            mention = _Mention(entity, file.sha256, attempt, None, _written)
            self._used.setdefault(file.path, []).append(mention)

    def at_start(self, file: File, entity: str) -> None:
        """The run read a file at its start."""
        if self._outer is not None:
            self._tell(self._outer, file.path, file.sha256, False, entity, self._run.times()[0])

    def child(
        self,
        child: str,
        path: str,
        sha256: str | None,
        made: bool,
        attempt: Attempt,
        entity: str,
        write: Callable[[], None] = _written,
        moment: str | None = None,
    ) -> None:
        """A child used or made a file of which its attempt says nothing.

        write: writes its entity, where that is not done before it is needed. moment: when.
        """
        known = self._made if made else self._used
        known.setdefault(path, []).append(_Mention(entity, sha256, attempt, child, write, moment))

    def before(self, path: str, attempt: Attempt) -> tuple[str, File] | None:
        """The version of a file that a task left on which the attempt's depends."""
        maker, folder = self._run.made.get(path), path
        while maker is None and (folder := folder.rpartition("/")[0]):
            maker = self._run.directories.get(folder)
        if maker is None or maker.task not in self._above(attempt.task):
            return None
        end = maker.end
        for file in (end.outputs if end else None) or ():
            if file.type is not FileType.MISSING and path not in (maker.inner or ()):
                for place, part in self._files.parts(file):
                    if place == path:
                        return self._files.made(self._names.attempt(maker), path), part
        return None

    def tie(self) -> None:
        """Write the derivations, each once; tell the outer run of the rest."""
        for path, uses in self._used.items():
            for used in uses:
                makers = [made for made in self._made.get(path, ()) if self._is_one(made, used)]
                if not makers:
                    self._pass_on(path, used, made=False)
                if makers:
                    made = max(makers, key=lambda one: _began(one.attempt) or "")
                    made.write()
                    used.write()
                    more = f'"yprov4wms:sha256":{string(used.sha256)}' if used.sha256 else ""
                    self._writer.relation("wasDerivedFrom", used.entity, made.entity, more)

        if self._outer is not None:
            self._tell_made(self._outer)

    def _tell_made(self, outer: Outer) -> None:
        """What the run left, and its children did."""
        for maker in {id(maker): maker for maker in self._run.made.values()}.values():
            end, activity = maker.end, self._names.attempt(maker)
            ended = attempt_times(maker.start, end)[1]
            for file in (end.outputs if end else None) or ():
                if self._run.made.get(file.path) is maker:
                    self._tell_parts(outer, activity, file, ended)
        end_of_run = self._run.end
        for file in (end_of_run.outputs if end_of_run else None) or ():
            if file.origin is not None and file.type is not FileType.MISSING:
                self._tell_parts(outer, self._names.workflow_run, file, self._run.times()[1])
        for path, mentions in self._made.items():
            self._pass_on(path, mentions[-1], made=True)

    def _pass_on(self, path: str, mention: _Mention, made: bool) -> None:
        """Tell the outer run what a child, or an attempt, says."""
        outer, attempt = self._outer, mention.attempt
        if outer is None or (mention.child is not None and not outer.deep):
            return
        mention.write()
        moment = mention.moment
        if moment is None:
            moment = attempt_times(attempt.start, attempt.end)[1] if made else _began(attempt)
        self._tell(outer, path, mention.sha256, made, mention.entity, moment)

    def _tell_parts(self, outer: Outer, maker: str, file: File, ended: str | None) -> None:
        for path, part in self._files.parts(file):
            self._tell(outer, path, part.sha256, True, self._files.made(maker, path), ended)

    def _tell(
        self,
        outer: Outer,
        path: str,
        sha256: str | None,
        made: bool,
        entity: str,
        moment: str | None,
    ) -> None:
        if not self._files.is_around(entity):
            outer.tell(path, sha256, made, entity, moment)

    def _is_one(self, made: _Mention, used: _Mention) -> bool:
        if made.child == used.child or (used.child is None and made.attempt is used.attempt):
            return False  # what is declared as an input was there before
        if made.sha256 and used.sha256:
            if made.sha256 != used.sha256:
                return False
            if made.moment is not None and used.moment is not None:
                return made.moment <= used.moment
            first, second = _began(made.attempt), _began(used.attempt)
            return first is not None and second is not None and first <= second
        return made.attempt.task in self._above(used.attempt.task)

    def _above(self, task: str) -> set[str]:
        """All tasks on which a task depends."""
        found = self._upstream.get(task)
        if found is None:
            found, waiting = set(), [task]
            while waiting:
                known = self._run.tasks.get(waiting.pop())
                for other in known.depends_on if known else ():
                    if other not in found:
                        found.add(other)
                        waiting.append(other)
            self._upstream[task] = found
        return found


def _began(attempt: Attempt) -> str | None:
    return attempt_times(attempt.start, attempt.end)[0]
