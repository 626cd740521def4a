"""Airflow provider: every DAG run leaves its provenance as one W3C PROV document."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

#: The options of the section ``[yprov]``: description, type and default, as Airflow lists them.
#: They mean what they mean everywhere in yprov4wms; the last ones are Airflow's alone.
OPTIONS: dict[str, tuple[str, str, str]] = {
    "store": ("Folder or fsspec URL that keeps the runs. All machines must see it.", "string", ""),
    "export": (
        "When a run's document is built: end, or never (yprov4wms export).",
        "string",
        "end",
    ),
    "nest": ("How child runs enter the document: flatten, bundle or link.", "string", "flatten"),
    "hash": ("Checksum of files: sha256 or none.", "string", "sha256"),
    "hash_limit": (
        "Files above this size (bytes; k, M, G, T) get no checksum: they are read in the task's "
        "process.",
        "string",
        "16M",
    ),
    "sample_interval": (
        "Seconds between samples of memory and GPU in a task's process; 0: none.",
        "float",
        "0.5",
    ),
    "orcid": ("ORCID iD of the person who answers for the runs.", "string", ""),
    "person": ("Name of that person; else who triggered the run.", "string", ""),
    "cpu_watts": ("Watts of one busy core, N or LOW-HIGH, where nothing measures.", "string", ""),
    "carbon_intensity": ("Grid intensity in gCO2e/kWh; without it no CO2 figure.", "string", ""),
    "secrets": ("Names of environment variables whose values are masked.", "string", ""),
    "disabled": ("Record nothing.", "boolean", "False"),
    "deployment": (
        "Name of this deployment: part of what each run's id is computed from. Deployments that "
        "share a store need different names; all processes of one need the same.",
        "string",
        "airflow",
    ),
    "xcom_limit": (
        "Record what a task returns, where its JSON has at most so many bytes; 0: never.",
        "integer",
        "0",
    ),
    "patience": (
        "Seconds that a task, or a round of the scheduler, waits for a slow store in all.",
        "float",
        "0.8",
    ),
}


def get_provider_info() -> dict[str, Any]:
    """What Airflow's providers manager asks for (its schema ``provider_info``)."""
    return {
        "package-name": "airflow-provider-yprov",
        "name": "yProv",
        "description": "Provenance of DAG runs as W3C PROV documents.",
        "versions": [__version__],
        "config": {
            "yprov": {
                "description": "What airflow-provider-yprov records, and where.",
                "options": {
                    name: {
                        "description": text,
                        "version_added": "0.1.0",
                        "type": kind,
                        "example": None,
                        "default": default,
                    }
                    for name, (text, kind, default) in OPTIONS.items()
                },
            }
        },
    }
