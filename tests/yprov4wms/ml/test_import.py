"""What a training process pays for importing the recorder."""

from __future__ import annotations

import json

import pytest

HEAVY = ["msgspec", "numpy", "networkx", "prov", "psutil", "fsspec", "pynvml", "dataclasses"]


@pytest.mark.parametrize("then", ["", "ml.start_run('x'); ml.log_metric('m', 1.0)"])
def test_nothing_heavy_is_imported_to_record(script, then):
    done = script(f"""
        import json
        {then}
        print(json.dumps(sorted(sys.modules)))
    """)
    assert done.returncode == 0, done.stderr
    assert set(HEAVY) & set(json.loads(done.stdout)) == set()


def test_nothing_heavy_is_imported_to_describe_what_is_logged(script):
    done = script(f"""
        with ml.start_run("x"):
            ml.log_system_metrics()
            ml.log_artifact("script", __file__)
            ml.log_model("model", object())
            ml.log_dataset("data", [1, 2, 3])
            ml.log_param("p", object())
        print([name for name in {HEAVY} if name in sys.modules])
    """)
    assert done.stdout == "[]\n", done.stderr


def test_import_takes_little_cpu(script):
    # A bound that a busy machine keeps too; the true figure is some 35 ms.
    done = script("print(time.process_time())")
    bare = script("print(0)", "-c", "import time; print(time.process_time())")
    assert float(done.stdout) - float(bare.stdout) < 0.25
