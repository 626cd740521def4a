"""What MLflow's plugin of ours does in a user's process: next to nothing, and never harm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.documents import environment

TASK = {"YPROV_RUN_ID": "r", "YPROV_TASK_ID": "t", "YPROV_ATTEMPT": "2"}

#: MLflow, as far as a context provider sees of it.
STUB = "def get_tracking_uri(): return 'http://ada:s3cret9@example.org'\n"


def asked(folder: Path, code: str, **env: str) -> subprocess.CompletedProcess[str]:
    (folder / "mlflow.py").write_text(STUB)
    head = "import sys, time; from yprov4wms.mlflow_context import TaskContext; c = TaskContext()\n"
    return subprocess.run(
        [sys.executable, "-c", head + code],
        cwd=folder,
        env=environment(PYTHONPATH=str(folder), **env),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_outside_of_a_task_it_is_not_there(tmp_path: Path) -> None:
    done = asked(tmp_path, "print(c.in_context(), c.tags(), 'mlflow' in sys.modules)")
    assert done.stdout == "False {} False\n"


def test_it_imports_the_standard_library_alone(tmp_path: Path) -> None:
    done = asked(tmp_path, "c.in_context(); print(*(n for n in sys.modules if 'yprov' in n))")
    assert done.stdout.split() == ["yprov4wms", "yprov4wms.mlflow_context"]


def test_the_attempt_is_named_and_the_store_noted_once(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    done = asked(tmp_path, "c.tags(); print(c.in_context(), c.tags())", **TASK, YPROV_STORE=store)
    tags = {"yprov4wms.run": "r", "yprov4wms.task": "t", "yprov4wms.attempt": "2"}
    assert done.stdout == f"True {tags}\n"
    (path,) = Path(store).rglob("*.json")
    assert path.parent == Path(store) / "r" / "ml" / "t-2"
    note = json.loads(path.read_text())
    assert note["tracking_uri"] == "http://example.org"
    assert (note["directory"], note["python"]) == (str(tmp_path), sys.executable)


@pytest.mark.parametrize("store", ["/proc/no/such", "nonsense://there/is/none", "s3://"])
def test_a_store_that_cannot_be_written_to_is_not_felt(tmp_path: Path, store: str) -> None:
    code = "print(c.in_context(), c.tags().get('yprov4wms.task'))"
    done = asked(tmp_path, code, **TASK, YPROV_STORE=store)
    assert done.stdout == "True t\n"
    assert done.stderr == ""


def test_a_store_that_does_not_answer_is_waited_for_a_little(tmp_path: Path) -> None:
    code = """
import yprov4wms.mlflow_context as context
context._PATIENCE = 0.2
context._send = lambda *given: time.sleep(60)
began = time.monotonic()
c.tags()
print(time.monotonic() - began < 10)
"""
    assert asked(tmp_path, code, **TASK, YPROV_STORE="memory://x").stdout == "True\n"


def test_its_import_takes_little_time(tmp_path: Path) -> None:
    # A bound that a busy machine keeps too; the true figure is some 4 ms.
    code = "print(time.process_time())"
    env = environment()
    bare = subprocess.run(
        [sys.executable, "-c", "import sys, time; print(time.process_time())"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert float(asked(tmp_path, code).stdout) - float(bare.stdout) < 0.25
