"""Runs as yProv4ML leaves them, made under every engine."""

from __future__ import annotations

#: A script that writes a run as yProv4ML 3.2.8 does, of now; one that is named ``crash`` writes
#: no document, and fails. Arguments: the folder of runs, the name, how long it takes in seconds.
SCRIPT = """
import json, os, sys, time, uuid
from datetime import datetime, timezone

where, name = sys.argv[1:3]
seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 1.2
def now():
    return datetime.now(timezone.utc).replace(tzinfo=None).isoformat()
folder = f"{where}/{name}_0"
os.makedirs(f"{folder}/metrics_GR0")
began = now()
time.sleep(seconds)
with open(f"{folder}/metrics_GR0/Loss_training_None_GR0.csv", "w") as file:
    file.write(f"epoch,value,timestep\\n0,0.5,{time.time_ns() // 1000000}\\n")
if name == "crash":
    sys.exit(3)
with open("model.pt", "w") as file:
    file.write("weights")
root = f"{name}_GR0_0"
document = {
    "prefix": {"yprov": "https://github.com/HPCI-Lab/yProv4ML", "default": root},
    "activity": {root: {
        "yprov:experiment_name": root, "yprov:experiment_dir": folder,
        "yprov:PID": str(uuid.uuid4()), "yprov:time_zone": "UTC+0000",
        "prov:startedAtTime": began, "prov:endedAtTime": now(),
    }},
    "entity": {"model.pt//training": {
        "prov:label": "model.pt", "prov:type": "provml:Model", "dcterms:identifier": "model.pt",
    }},
    "wasGeneratedBy": {"_:id1": {"prov:entity": "model.pt//training", "prov:activity": root}},
}
with open(f"{folder}/prov_{name}_GR0_0.json", "w") as file:
    json.dump(document, file)
"""
