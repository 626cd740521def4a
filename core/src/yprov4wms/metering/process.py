"""A Popen that measures the process it started, in the moment before it is reaped.

An ended process is a zombie until its parent waits for it, and a zombie still has
``/proc/<pid>/io``. ``waitid(WNOWAIT)`` finds it without reaping; ``wait4`` then gives the
exact CPU time of the process and of all descendants that were waited for. Both are
silent about descendants that nobody waited for (daemons).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterable
from types import FunctionType, ModuleType
from typing import Any

from yprov4wms.metering import procfs
from yprov4wms.metering.task import TaskMeter, Watch, clock, current

__all__ = ["MeteredPopen", "TaskMeter", "current", "module_proxy"]

#: Position of ``env`` among Popen's arguments, ``args`` not counted.
_ENV = 9

#: CPython's POSIX Popen has these in 3.11 to 3.14; without them nothing is metered.
_HOOKABLE = hasattr(os, "wait4") and all(
    hasattr(subprocess.Popen, name)
    for name in ("_try_wait", "_internal_poll", "_handle_exitstatus")
)


class MeteredPopen(subprocess.Popen[Any]):
    """Popen that tells the thread's current TaskMeter of its process; else just Popen.

    A failure to meter leaves the figures out and changes nothing else.
    """

    _watch: Watch | None = None

    def __init__(self, args: Any, *positional: Any, **named: Any) -> None:
        meter = current()
        if meter is None:
            super().__init__(args, *positional, **named)
            return
        # What cannot be merged goes to Popen as it came, which then says what is wrong.
        with contextlib.suppress(Exception):
            positional, named = _with_env(meter, positional, named)
        before = clock()
        super().__init__(args, *positional, **named)
        if _HOOKABLE:
            with contextlib.suppress(Exception):
                self._watch = meter.started(self.pid, before)

    # Only ECHILD is caught below, and left to Popen, which knows what to make of it. A
    # signal handler may raise anything in a wait (TimeoutError, say): that is its caller's.

    def _try_wait(self, wait_flags: int) -> Any:
        """Called by ``wait`` and ``communicate`` with ``_waitpid_lock`` held."""
        if self._watch is not None:
            with contextlib.suppress(ChildProcessError):
                return _reap(self._watch, wait_flags)
        return super()._try_wait(wait_flags)  # type: ignore[misc]

    def _internal_poll(self, _deadstate: Any = None, *args: Any, **named: Any) -> Any:
        """Called by ``poll`` and ``send_signal``, and with ``_deadstate`` by ``__del__``,
        which may come when this module is gone already."""
        if self._watch is not None and self.returncode is None and _deadstate is None:
            lock = self._waitpid_lock  # type: ignore[attr-defined]
            if not lock.acquire(False):
                return None  # another thread waits, as in Popen
            try:
                if self.returncode is None:
                    pid, status = _reap(self._watch, os.WNOHANG)
                    if pid == self.pid:
                        self._handle_exitstatus(status)
                return self.returncode
            except ChildProcessError:
                pass
            finally:
                lock.release()
        return super()._internal_poll(_deadstate, *args, **named)  # type: ignore[misc]

    def _handle_exitstatus(self, status: int, *args: Any, **named: Any) -> None:
        """Called with the lock held. The return code is set before anything else is done:
        an interrupt in between must not lose it."""
        super()._handle_exitstatus(status, *args, **named)  # type: ignore[misc]
        if self._watch is not None and self.returncode is not None:
            with contextlib.suppress(Exception):
                self._watch.meter.ended(self._watch, self.returncode)


def _reap(watch: Watch, flags: int) -> tuple[int, int]:
    """What ``waitpid`` gives, with the readings kept in ``watch``. Raises OSError as it."""
    pid = watch.pid
    if hasattr(os, "waitid"):  # macOS has it since Python 3.13
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | flags) is None:
            return 0, 0
        watch.io = procfs.io(pid)
    reaped, status, usage = os.wait4(pid, flags)
    if reaped == pid:
        watch.usage = usage
    return reaped, status


def _with_env(
    meter: TaskMeter, positional: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Popen's arguments with the meter's variables in ``env``."""
    given = positional[_ENV] if len(positional) > _ENV else named.get("env")
    env = os.environ if given is None else given
    meter.child_environment = env
    if not meter.env:
        return positional, named
    env = {**env, **meter.env}
    if len(positional) > _ENV:
        return (*positional[:_ENV], env, *positional[_ENV + 1 :]), named
    return positional, {**named, "env": env}


#: The functions of subprocess that start a process, all by the name ``Popen``.
_STARTERS = ("call", "check_call", "run", "check_output", "getstatusoutput", "getoutput")


class _Proxy(ModuleType):
    def __init__(self, module: ModuleType) -> None:
        super().__init__(module.__name__, module.__doc__)
        self.__dict__["_module"] = module
        self.__dict__.update(_rebound(module, _STARTERS))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def __dir__(self) -> Iterable[str]:
        return dir(self._module)


def module_proxy(module: ModuleType) -> ModuleType:
    """A stand-in for ``subprocess`` in another module's globals, which meters.

    All but Popen and the functions that use it is the module's own.
    """
    return _Proxy(module)


def _rebound(module: ModuleType, names: Iterable[str]) -> dict[str, Any]:
    """Popen and the functions, each running the module's own code on the metered Popen.

    A function that is not plain Python, because someone wrapped it, stays as it is.
    """
    namespace = {**vars(module), "Popen": MeteredPopen}
    rebound: dict[str, Any] = {"Popen": MeteredPopen}
    for name in names:
        function = namespace.get(name)
        if isinstance(function, FunctionType) and function.__globals__ is vars(module):
            copy = FunctionType(
                function.__code__,
                namespace,
                function.__name__,
                function.__defaults__,
                function.__closure__,
            )
            copy.__kwdefaults__ = function.__kwdefaults__
            copy.__doc__ = function.__doc__
            rebound[name] = namespace[name] = copy
    return rebound
