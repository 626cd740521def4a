"""What Airflow's own commands, and ours, say of the provider."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.airflow.test_dag_test import airflow, settings
from tests.documents import environment

from airflow_provider_yprov import OPTIONS


def doctor(home: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("yprov4wms")), "doctor", "--store", str(home / "x")],
        env=environment(**settings(home), **extra),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_airflow_shows_the_plugin_and_the_provider(tmp_path: Path) -> None:
    assert "airflow_provider_yprov.listener.Listener" in airflow(tmp_path, "plugins")
    assert "airflow-provider-yprov" in airflow(tmp_path, "providers", "list")


def test_airflow_lists_every_option_with_its_default(tmp_path: Path) -> None:
    arguments = ("config", "list", "--section", "yprov", "--include-descriptions")
    shown = airflow(tmp_path, *arguments, "--show-values", "--include-sources")
    for name, (text, _, default) in OPTIONS.items():
        assert f"{name} = {default}".rstrip() in shown
        assert " ".join(text.split())[:40] in " ".join(shown.replace("#", " ").split())


def test_doctor_where_all_is_well(tmp_path: Path) -> None:
    done = doctor(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Airflow has loaded it" in done.stdout
    assert "registered for scheduler and task processes" in done.stdout
    assert f"{tmp_path}/yprov can be written from here" in done.stdout


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AIRFLOW__YPROV__DISABLED": "True"}, "disabled = True: nothing is recorded"),
        ({"AIRFLOW__YPROV__PATIENCE": "soon"}, "patience: 'soon' is not a number"),
        ({"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor"}, "run on other machines"),
        ({"AIRFLOW__YPROV__STORE": "here"}, "is relative"),
        ({"AIRFLOW__YPROV__STORE": "nosuch://bucket"}, "nosuch"),
    ],
)
def test_doctor_says_why_nothing_is_recorded(
    tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    done = doctor(tmp_path, **variables)
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if said in line]
    assert lines
    assert all(line.startswith("BAD airflow") for line in lines)
