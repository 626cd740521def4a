"""The options that mean the same thing in every adapter, with their environment variables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

DEFAULT_STORE = ".yprov"


class SettingError(ValueError):
    """A setting has a value that it cannot have; the text says which and what is allowed."""


class Option(NamedTuple):
    """One option: its name everywhere, its meaning, and the variable that sets it."""

    name: str
    help: str
    default: str | None = None
    choices: tuple[str, ...] = ()

    @property
    def env(self) -> str:
        return f"YPROV_{self.name.upper()}"


OPTIONS = (
    Option("store", f"Folder or fsspec URL that keeps the runs (default: {DEFAULT_STORE})."),
    Option("export", "When the document is built.", "end", ("end", "never")),
    Option("nest", "How child runs enter the document.", "flatten", ("flatten", "bundle", "link")),
    Option("hash", "Checksum of files.", "sha256", ("sha256", "none")),
    Option("hash_limit", "Files above this size (bytes; k, M, G, T) get no checksum."),
    Option("strict", "A failure of the recorder fails the run.", "no", ("yes", "no")),
    Option("sample_interval", "Seconds between samples of memory and GPU; 0: none.", "0.5"),
    Option("person", "Name of the person who runs this (default: the login)."),
    Option("orcid", "ORCID iD of that person."),
    Option("cpu_watts", "Watts of one busy core, N or LOW-HIGH, where nothing measures energy."),
    Option("carbon_intensity", "Grid intensity in gCO2e/kWh; without it no CO2 figure is given."),
    Option("secrets", "Names of environment variables whose values are masked."),
)


class Settings(NamedTuple):
    """Checked values of `OPTIONS`; ``hash_limit`` in bytes, ``sample_interval`` in seconds."""

    store: str = DEFAULT_STORE
    export: str = "end"
    nest: str = "flatten"
    hash: str = "sha256"
    hash_limit: int | None = None
    strict: bool = False
    sample_interval: float = 0.5
    person: str | None = None
    orcid: str | None = None
    cpu_watts: str | None = None
    carbon_intensity: float | None = None
    secrets: str | None = None

    def for_processes(self) -> dict[str, str]:
        """Variables that give a process elsewhere what it needs of these to record its part."""
        found = {}
        for name in ("sample_interval", "cpu_watts", "secrets"):
            value = getattr(self, name)
            if value != self._field_defaults[name]:
                found[f"YPROV_{name.upper()}"] = str(value)
        return found


def load(
    given: Mapping[str, object] | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """Settings from what was given, else from ``YPROV_*`` as `told` has it, else the defaults.

    Raises SettingError that names the option, the value and what is allowed.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for option in OPTIONS:
        value = (given or {}).get(option.name)
        if value is None:
            value = told(option.env, environment) or None
        if value is not None:
            values[option.name] = _parse(option, value)
    return Settings(**values)


def told(name: str, environment: Mapping[str, str] | None = None) -> str | None:
    """A variable of ours, such as ``YPROV_RUN_ID``, which with others names the attempt around
    this process.

    What a task of Airflow's starts with an environment of its own has all of them as
    ``AIRFLOW_CTX_YPROV_...`` alone. Where another run is around it they are not of that one.
    """
    found = os.environ if environment is None else environment
    if found.get(name) or found.get("YPROV_RUN_ID"):
        return found.get(name)
    return found.get(f"AIRFLOW_CTX_{name}")


#: As `yprov4wms.metering.energy` reads it.
_WATTS = re.compile(r"\s*\d+\.?\d*\s*(-\s*\d+\.?\d*\s*)?", re.ASCII)


def _parse(option: Option, value: object) -> object:
    if option.name == "strict":
        return value if isinstance(value, bool) else _boolean(option, str(value))
    if option.choices and str(value) not in option.choices:
        raise _error(option, value, "one of " + ", ".join(option.choices))
    if option.name == "hash_limit":
        return _bytes(option, str(value))
    if option.name in ("sample_interval", "carbon_intensity"):
        return _number(option, value)
    if option.name == "orcid":
        return _orcid(option, str(value))
    if option.name == "cpu_watts" and not _WATTS.fullmatch(str(value)):
        raise _error(option, value, "watts: N or LOW-HIGH")
    if option.name == "store" and not str(value).strip():
        raise _error(option, value, "a folder or URL")
    return str(value)


def _boolean(option: Option, value: str) -> bool:
    word = value.strip().lower()
    if word in ("1", "yes", "true", "on"):
        return True
    if word in ("0", "no", "false", "off", ""):
        return False
    raise _error(option, value, "yes or no")


def _bytes(option: Option, value: str) -> int:
    count = size(value)
    if count is None:
        raise _error(option, value, SIZE)
    return count


#: What `size` takes.
SIZE = "a number of bytes such as 500M or 2G"


def size(text: str) -> int | None:
    """A number of bytes; None where it is none."""
    number, unit = text.strip(), 1
    if number[-1:].lower() in "kmgt" and number:
        unit = 1024 ** ("kmgt".index(number[-1].lower()) + 1)
        number = number[:-1]
    try:
        count = int(float(number) * unit)
    except (ValueError, OverflowError):
        return None
    return count if count >= 0 else None


def _number(option: Option, value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise _error(option, value, "a number from 0 up")
    return number


def _orcid(option: Option, value: str) -> str:
    """The bare iD, with its check digit verified (ISO 7064 MOD 11-2)."""
    bare = value.strip().rstrip("/").rsplit("/", 1)[-1].upper()
    digits = bare.replace("-", "")
    if len(digits) == 16 and digits.isascii() and digits[:15].isdigit():
        total = 0
        for digit in digits[:15]:
            total = (total + int(digit)) * 2
        check = (12 - total % 11) % 11
        if digits[15] == ("X" if check == 10 else str(check)):
            return "-".join(digits[i : i + 4] for i in range(0, 16, 4))
    raise _error(option, value, "an ORCID iD such as 0000-0002-1825-0097")


def _error(option: Option, value: object, allowed: str) -> SettingError:
    name = option.name.replace("_", "-")
    return SettingError(f"setting {name} (or {option.env}): {value!r} is not {allowed}")
