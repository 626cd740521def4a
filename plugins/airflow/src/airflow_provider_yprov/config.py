"""The section ``[yprov]`` of Airflow's configuration."""

from __future__ import annotations

import os
from functools import cache
from typing import NamedTuple

from airflow_provider_yprov import OPTIONS
from yprov4wms import settings
from yprov4wms.settings import OPTIONS as CORE_OPTIONS
from yprov4wms.settings import SettingError, Settings


class Config(NamedTuple):
    """core: what means the same under every engine. xcom_limit in bytes, patience in seconds."""

    core: Settings
    deployment: str = "airflow"
    disabled: bool = False
    xcom_limit: int = 0
    patience: float = 0.8


@cache
def load() -> Config:
    """The configuration of this process; raises SettingError that says what to change.

    An option that is not set is taken from its ``YPROV_`` variable, where it has one.
    """
    from airflow.configuration import conf

    given: dict[str, str] = {}
    for name, (_, _, default) in OPTIONS.items():
        value = conf.get("yprov", name, fallback=default)
        if value is not None and str(value).strip() != default:
            given[name] = str(value).strip()
    core = {option.name: given.get(option.name) for option in CORE_OPTIONS}
    variables = dict(os.environ)
    if core["store"] is None and not variables.get("YPROV_STORE"):
        variables["YPROV_STORE"] = f"{_home()}/yprov"
    if core["hash_limit"] is None and not variables.get("YPROV_HASH_LIMIT"):
        variables["YPROV_HASH_LIMIT"] = OPTIONS["hash_limit"][2]
    return Config(
        settings.load(core, variables),
        deployment=given.get("deployment", "airflow"),
        disabled=_boolean(given.get("disabled", "False")),
        xcom_limit=int(_number("xcom_limit", given)),
        patience=_number("patience", given),
    )


def _home() -> str:
    from airflow.configuration import AIRFLOW_HOME

    return AIRFLOW_HOME


def _boolean(value: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0", "yes", "no", "on", "off", "t", "f"):
        raise SettingError(f"[yprov] disabled: {value!r} is not True or False")
    return value.lower() in ("true", "1", "yes", "on", "t")


def _number(name: str, given: dict[str, str]) -> float:
    value = given.get(name, OPTIONS[name][2])
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf") or (name == "patience" and not number):
        above = "above 0" if name == "patience" else "from 0 up"
        raise SettingError(f"[yprov] {name}: {value!r} is not a number {above}")
    return number
