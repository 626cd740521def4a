"""NVML, loaded only where its library is. An error of NVML is an unknown, never raised."""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import threading
from typing import Any, NamedTuple

import msgspec

#: NVML_TEMPERATURE_GPU, the one sensor that every device has.
_CHIP = 0


class Device(msgspec.Struct, frozen=True):
    """memory: total bytes. Unknown fields are None."""

    index: int
    name: str | None
    uuid: str | None
    memory: int | None
    driver: str | None


class Reading(NamedTuple):
    """One device at one moment.

    energy: millijoules since the driver was loaded. power: milliwatts, where there is no
    energy. utilization: percent. memory: bytes in use. processes: bytes in use by pid,
    None for bytes not known.
    """

    energy: int | None
    power: int | None
    utilization: int | None
    memory: int | None
    processes: dict[int, int | None] | None


class Library:
    """NVML after its initialization."""

    def __init__(self, pynvml: Any) -> None:
        self._pynvml = pynvml
        self._absent: set[tuple[str, int]] = set()
        driver = _text(self._ask("nvmlSystemGetDriverVersion"))
        self._handles = {
            index: handle
            for index in range(self._ask("nvmlDeviceGetCount") or 0)
            if (handle := self._ask("nvmlDeviceGetHandleByIndex", index)) is not None
        }
        self.devices = [self._describe(index, driver) for index in self._handles]

    def read(self, index: int, *, processes: bool = True) -> Reading:
        energy = self.energy(index)
        return Reading(
            energy,
            self.power(index) if energy is None else None,
            self.utilization(index),
            self.memory(index),
            self._processes(index) if processes else None,
        )

    def energy(self, index: int) -> int | None:
        """Millijoules since the driver was loaded; counted by Volta and later."""
        return _whole(self._of("nvmlDeviceGetTotalEnergyConsumption", index))

    def power(self, index: int) -> int | None:
        """Milliwatts, of now or of the last second: that differs by generation."""
        return _whole(self._of("nvmlDeviceGetPowerUsage", index))

    def utilization(self, index: int) -> int | None:
        """Percent of the last sampling period in which any kernel ran."""
        rates = self._of("nvmlDeviceGetUtilizationRates", index)
        return None if rates is None else int(rates.gpu)

    def memory(self, index: int) -> int | None:
        """Bytes in use."""
        found = self._of("nvmlDeviceGetMemoryInfo", index)
        return None if found is None else int(found.used)

    def temperature(self, index: int) -> int | None:
        """Degrees Celsius of the chip."""
        return _whole(self._of("nvmlDeviceGetTemperature", index, _CHIP))

    def shutdown(self) -> None:
        self._handles = {}
        self._ask("nvmlShutdown")

    def _describe(self, index: int, driver: str | None) -> Device:
        memory = self._of("nvmlDeviceGetMemoryInfo", index)
        return Device(
            index,
            _text(self._of("nvmlDeviceGetName", index)),
            _text(self._of("nvmlDeviceGetUUID", index)),
            memory.total if memory is not None else None,
            driver,
        )

    def _processes(self, index: int) -> dict[int, int | None] | None:
        # Drivers before 510 have only the second version of this call.
        for name in ("", "_v2"):
            found = self._of(f"nvmlDeviceGetComputeRunningProcesses{name}", index)
            if found is not None:
                return {process.pid: process.usedGpuMemory for process in found}
        return None

    def _of(self, name: str, index: int, *more: Any) -> Any:
        handle = self._handles.get(index)
        if handle is None or (name, index) in self._absent:
            return None
        return self._ask(name, handle, *more, absent=(name, index))

    def _ask(self, name: str, *args: Any, absent: tuple[str, int] | None = None) -> Any:
        try:
            return getattr(self._pynvml, name)(*args)
        except Exception as error:
            # What a device cannot tell now it cannot tell later; other errors may pass.
            lacking = ("NVMLError_NotSupported", "NVMLError_FunctionNotFound", "AttributeError")
            if absent and type(error).__name__ in lacking:
                self._absent.add(absent)
            return None


class _State:
    lock = threading.Lock()
    tried = False
    library: Library | None = None
    problem: str | None = None


def load() -> Library | None:
    """The library, initialized once per process; None where there is none."""
    if not _State.tried:
        with _State.lock:
            if not _State.tried:
                _State.library, _State.problem = _load()
                _State.tried = True
    return _State.library


def problem() -> str | None:
    """Why there is no library, in words."""
    load()
    return _State.problem


def _load() -> tuple[Library | None, str | None]:
    if sys.platform != "linux":
        return None, "NVML is looked for on Linux only"
    try:
        # Importing pynvml costs far more than finding out that it is of no use.
        importlib.import_module("ctypes").CDLL("libnvidia-ml.so.1")
    except Exception:
        return None, "no NVIDIA driver: libnvidia-ml.so.1 cannot be loaded"
    try:
        pynvml = importlib.import_module("pynvml")
        pynvml.nvmlInit()
    except Exception as error:
        return None, f"NVML cannot be initialized: {error}"
    library = Library(pynvml)
    atexit.register(library.shutdown)
    return library, None


def _reset() -> None:
    _State.lock = threading.Lock()
    _State.tried = False
    _State.library = None


if hasattr(os, "register_at_fork"):
    # NVML's state does not survive a fork; the child initializes its own if it needs one.
    os.register_at_fork(after_in_child=_reset)


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _text(value: Any) -> str | None:
    """pynvml before version 12 gave bytes."""
    if value is None:
        return None
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
