"""Files of Snakemake's storage plugins: a folder in the place of a disk, and a real S3."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import debian
from tests.documents import Document
from tests.snakemake.project import Project

pytest.importorskip("snakemake_storage_plugin_fs")
pytest.importorskip("snakemake_storage_plugin_s3")
server = pytest.importorskip("moto.server")

SNAKEFILE = """
rule all:
    input: "last.txt", "trained"
rule first:
    input: "in.txt"
    output: "first.txt"
    shell: "tr a-z A-Z < {input} > {output}"
rule last:
    input: "first.txt"
    output: "last.txt"
    run:
        open(output[0], "w").write(open(input[0]).read() * 2)
rule trained:
    input: "first.txt"
    output: directory("trained")
    shell: "mkdir -p {output} && cp {input} {output}/model.bin"
"""

SECRET = "keep-this-to-yourself"


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A client of a server on loopback."""
    import boto3

    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="somebody",
        aws_secret_access_key=SECRET,
    )
    running.stop()


@pytest.fixture(scope="module")
def rsync(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables under which there is the program that the plugin for folders copies with."""
    if shutil.which("rsync"):
        return {}
    root = debian.unpacked(tmp_path_factory.mktemp("rsync"), "rsync")
    libraries = [str(path) for path in (root / "usr" / "lib").glob("*-linux-*")]
    path = f"{root / 'usr' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {"LD_LIBRARY_PATH": os.pathsep.join(libraries), "PATH": path}


def run(project: Project, *options: str, **env: str) -> Document:
    project.snakefile(SNAKEFILE)
    done = project.snakemake("--logger", "yprov", *options, executor="local", **env)
    assert done.returncode == 0, done.stderr
    return project.document()


def on_s3(project: Project, s3: Any) -> Document:
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="project/in.txt", Body=b"content\n")
    return run(
        project,
        *("--default-storage-provider", "s3", "--default-storage-prefix", "s3://bucket/project"),
        *("--storage-s3-endpoint-url", s3.meta.endpoint_url, "--storage-s3-region", "us-east-1"),
        *("--storage-s3-access-key", "somebody", "--storage-s3-secret-key", SECRET),
    )


def on_fs(project: Project, rsync: dict[str, str]) -> Document:
    remote = project.folder / "remote"
    project.write("remote/in.txt", "content\n")
    options = ("--default-storage-provider", "fs", "--default-storage-prefix", str(remote))
    shared = ("--shared-fs-usage", "persistence", "software-deployment", "sources", "source-cache")
    return run(project, *options, *shared, **rsync)


@pytest.fixture(scope="module", params=["s3", "fs"])
def stored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str, Document]:
    """The working directory, what addresses begin with, the document."""
    project = Project(tmp_path_factory.mktemp(request.param))
    if request.param == "s3":
        document = on_s3(project, request.getfixturevalue("s3"))
        return project.folder, "s3://bucket/project", document
    document = on_fs(project, request.getfixturevalue("rsync"))
    return project.folder, str(project.folder / "remote"), document


def test_jobs_use_and_make_what_is_in_the_storage(stored: tuple[Path, str, Document]) -> None:
    _, prefix, document = stored
    for step, used, made in (
        ("first", {"in.txt"}, {"first.txt"}),
        ("last", {"first.txt"}, {"last.txt"}),
    ):
        attempt = document.attempt_id(step)
        assert document.used(attempt) == {f"{prefix}/{name}" for name in used}
        assert document.made(attempt) == {f"{prefix}/{name}" for name in made}
    ((middle, entity),) = document.files(f"{prefix}/first.txt").items()
    assert document.links("wasGeneratedBy", entity=middle, activity=document.attempt_id("first"))
    assert document.links("used", entity=middle, activity=document.attempt_id("last"))
    assert entity["yprov4wms:sha256"] == hashlib.sha256(b"CONTENT\n").hexdigest()


def test_no_file_is_named_by_its_local_copy(stored: tuple[Path, str, Document]) -> None:
    _, _, document = stored
    paths = [e.get("yprov4wms:path", "") for e in document.section("entity").values()]
    assert not [path for path in paths if ".snakemake" in path]


def test_the_key_of_the_storage_is_in_no_file_of_ours(stored: tuple[Path, str, Document]) -> None:
    folder, _, document = stored
    assert "default-storage-prefix" in document.run["yprov4wms:command"]
    for path in (folder / ".yprov").rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path
