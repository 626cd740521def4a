"""The validator of RO-Crates, without a network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CONTEXTS = Path(__file__).parents[2].parent / "shared" / "data" / "ro-crate"

SEED = """
import json, sys
from pathlib import Path
import requests
from requests.adapters import BaseAdapter
from requests_cache import CachedSession
from urllib3 import HTTPResponse

class Files(BaseAdapter):
    def send(self, request, **kwargs):
        content = FILES[request.url].read_bytes()
        response = requests.Response()
        response.status_code, response.url, response.request = 200, request.url, request
        response.headers["Content-Type"] = "application/ld+json"
        response._content = content
        response.raw = HTTPResponse(content, status=200, preload_content=False)
        return response
    def close(self):
        pass

folder = Path(sys.argv[2])
FILES = {
    "https://w3id.org/ro/crate/1.1/context": folder / "ro-crate-1.1.jsonld",
    "https://w3id.org/ro/terms/workflow-run": folder / "workflow-run.jsonld",
    "https://w3id.org/ro/terms/workflow-run/context": folder / "workflow-run.jsonld",
}
session = CachedSession(sys.argv[1], backend="sqlite", expire_after=-1)
session.mount("https://", Files())
for url in FILES:
    session.get(url)
"""

VALIDATE = """
import json, sys
from rocrate_validator import models, services
settings = services.ValidationSettings(
    rocrate_uri=sys.argv[1], profile_identifier=sys.argv[3],
    requirement_severity=models.Severity[sys.argv[4]], offline=True, cache_path=sys.argv[2],
    skip_availability_check=True,
)
result = services.validate(settings)
print(json.dumps([f"{i.check.identifier}: {i.message}" for i in result.get_issues()]))
"""


def seeded(folder: Path) -> Path:
    """The validator's cache, with the contexts that it would fetch."""
    pytest.importorskip("rocrate_validator", reason="roc-validator checks crates")
    if not CONTEXTS.is_dir():
        pytest.skip("the JSON-LD contexts are not here, and nothing is fetched")
    path = folder / "http"
    subprocess.run([sys.executable, "-c", SEED, str(path), str(CONTEXTS)], check=True)
    return path


def validated(path: Path, contexts: Path, profile: str, severity: str = "REQUIRED") -> list[str]:
    """The identifiers of the checks that fail; of the profile and those that it builds on."""
    done = subprocess.run(
        [sys.executable, "-c", VALIDATE, str(path), str(contexts), profile, severity],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found
