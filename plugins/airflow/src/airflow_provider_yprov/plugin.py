"""The Airflow plugin: a listener, and macros for tasks that run elsewhere."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from airflow_provider_yprov import macros
from airflow_provider_yprov.listener import Listener


class YprovPlugin(AirflowPlugin):
    """Found through the entry point; ``airflow plugins`` shows it."""

    name = "yprov"
    listeners = [Listener()]  # noqa: RUF012 - as Airflow's base class has it
    macros = [macros.variable, macros.variables]  # noqa: RUF012
