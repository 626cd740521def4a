"""Who pushes what, and where to: everything before the first request."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.yprov4wms.cli.test_bad_input import error, make_run, yprov4wms
from tests.yprov4wms.export.test_document import CHILD, journal, run_with_child
from tests.yprov4wms.push.conftest import in_process
from tests.yprov4wms.push.services import ADA, YProv, serving

from yprov4wms import events as e
from yprov4wms.events import Status
from yprov4wms.prov.rules import check
from yprov4wms.push.credentials import address

pytest.importorskip("httpx")

TOKEN = {"YPROV_TOKEN": ADA}


Refused = Callable[..., str]


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Refused:
    """The one line that a command leaves which cannot be done; the run is as it was."""
    run = make_run(tmp_path / ".yprov", "0198f3a0")
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("YPROV_")]:
        monkeypatch.delenv(name)

    def push(*arguments: str, **env: str) -> str:
        with monkeypatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            done = in_process(patch, capfd, *arguments)
        assert (done.code, done.out) == (2, ""), done
        assert done.err.startswith("yprov4wms: error: ")
        assert done.err.count("\n") == 1
        assert [path.name for path in run.iterdir()] == ["events"]
        return done.err

    return push


def push(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    return yprov4wms(folder, "push", *arguments, **env)


def test_a_run_is_pushed_by_the_command(tmp_path: Path) -> None:
    run_with_child(tmp_path / ".yprov")
    service = YProv()
    with serving(service):
        done = push(tmp_path, "--to", "yprov", YPROV_URL=service.url, **TOKEN)
    assert done.returncode == 0, done.stderr
    (name,) = service.documents
    url = f"{service.url}/api/v0/documents/{name}"
    assert done.stdout.decode().split()[:2] == [name, url]
    assert done.stderr == b""


def test_an_ml_run_alone_is_pushed(tmp_path: Path) -> None:
    told = [e.MLRunStarted(experiment="digits"), e.MLRunEnded(status=Status.COMPLETED)]
    journal(tmp_path / ".yprov" / CHILD, *told, run=CHILD)
    service = YProv()
    with serving(service):
        options = ("--to", "yprov", "--url", service.url, "--nest", "link")
        done = push(tmp_path, CHILD, *options, **TOKEN)
    assert done.returncode == 0, done.stderr
    ((content,),) = service.documents.values()
    assert check(content) == []
    assert b"digits" in content


def test_a_run_that_still_goes_on_is_pushed_and_grows(tmp_path: Path) -> None:
    folder = make_run(tmp_path / ".yprov", "0198f3a0", ended=False)
    service = YProv()
    with serving(service):
        options = ("--to", "yprov", "--url", service.url)
        assert push(tmp_path, *options, **TOKEN).returncode == 0
        make_run(tmp_path / "other", "0198f3a0")
        (tmp_path / "other" / "0198f3a0" / "events").rename(folder / "later")
        for name in (folder / "later").iterdir():
            name.replace(folder / "events" / name.name)
        assert push(tmp_path, *options, **TOKEN).returncode == 0
    (contents,) = service.documents.values()
    assert len(contents) == 2


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    options = ("--to", "yprov", "--url", "http://localhost:9")
    assert "no runs in" in error(push(tmp_path, *options, **TOKEN))
    make_run(tmp_path / ".yprov", "0198f3a0")
    assert "no run 'nothing'" in error(push(tmp_path, "nothing", *options, **TOKEN))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--to", "yprov"], "--url"),
        (["--url", "http://localhost:9"], "--to"),
        (["--to", "zenodo", "--url", "http://localhost:9"], "'zenodo' is not one of"),
        (["--to", "yprov", "--url", "localhost:3000"], "give the service's address"),
        (["--to", "yprov", "--url", "ftp://localhost"], "give the service's address"),
        (["--to", "yprov", "--url", "http://localhost:x"], "no URL"),
        (["--to", "yprov", "--url", "http://[::1"], "no URL"),
        (["--to", "yprov", "--url", "http://localhost/?a=b"], "give the service's address"),
        (["--to", "yprov", "--url", "http://yprov.example.org"], "--allow-http"),
        (["--to", "yprov", "--url", "http://localhost.example.org"], "--allow-http"),
        (["--to", "yprov", "--url", "http://localhost:9", "--permission", "bob"], "USER:r"),
        (["--to", "yprov", "--url", "http://localhost:9", "--permission", ":r"], "USER:r"),
        (["--to", "yprov", "--url", "http://localhost:9", "--permission", "bob:o"], "USER:r"),
        (["--to", "yprov", "--url", "http://localhost:9", "--timeout", "0"], "--timeout"),
        (["--to", "yprovstore", "--url", "http://localhost:9", "--update"], "--parent"),
        (["--to", "yprovstore", "--url", "http://localhost:9", "--parent", "?"], "no PID"),
    ],
)
def test_what_cannot_be_asked_is_told(refused: Refused, options: list[str], told: str) -> None:
    assert told in refused(*options, **TOKEN)


def test_a_password_in_the_address_is_refused_and_not_shown(refused: Refused) -> None:
    options = ("--to", "yprov", "--url", "https://ada:hunter2@yprov.example.org")
    said = refused(*options, **TOKEN)
    assert "no user and password in it" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.8.8.8"])
def test_plain_http_is_for_this_machine(host: str) -> None:
    assert address(f"http://{host}:9/", allow_http=False) == f"http://{host}:9"


def test_plain_http_to_others_is_for_who_says_so(tmp_path: Path) -> None:
    make_run(tmp_path / ".yprov", "0198f3a0")
    options = ("--to", "yprov", "--url", "http://yprov.example.org", "--allow-http", "--dry-run")
    assert push(tmp_path, *options, **TOKEN).returncode == 0


def test_without_credentials_the_ways_to_give_them_are_told(refused: Refused) -> None:
    options = ("--to", "yprov", "--url", "http://localhost:9")
    said = refused(*options)
    assert all(way in said for way in ("YPROV_TOKEN", "--token-file", "--user", "YPROV_PASSWORD"))
    assert "YPROV_PASSWORD" in refused(*options, "--user", "ada")


@pytest.mark.parametrize("token", ["a b", "a\nb", "é", " "])
def test_a_token_that_no_header_can_hold_is_refused(refused: Refused, token: str) -> None:
    options = ("--to", "yprov", "--url", "http://localhost:9")
    assert "no token has" in refused(*options, YPROV_TOKEN=token)


def test_a_file_of_a_token_is_its_owners_alone(refused: Refused, tmp_path: Path) -> None:
    options = ("--to", "yprov", "--url", "http://localhost:9", "--token-file")
    secret = tmp_path / "token"
    secret.write_text(f"{ADA}\n")
    for mode in (0o644, 0o640, 0o602):
        secret.chmod(mode)
        assert "chmod 600" in refused(*options, "token")
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "not a file" in refused(*options, "pipe")
    assert "No such file" in refused(*options, "nothing")
    assert "directory" in refused(*options, ".")


def test_a_token_of_a_file_goes_before_the_environments(tmp_path: Path) -> None:
    run_with_child(tmp_path / ".yprov")
    (tmp_path / "token").write_text(f"{ADA}\n")
    (tmp_path / "token").chmod(0o600)
    service = YProv()
    with serving(service):
        options = ("--to", "yprov", "--url", service.url, "--token-file", "token")
        done = push(tmp_path, *options, YPROV_TOKEN="another")
    assert done.returncode == 0, done.stderr


def echoed(terminal: int) -> bytes:
    """What a terminal shows whose other end is closed."""
    try:
        return os.read(terminal, 10_000)
    except OSError:
        return b""
    finally:
        os.close(terminal)


def test_a_password_is_asked_for_on_a_terminal_and_not_shown(tmp_path: Path) -> None:
    run_with_child(tmp_path / ".yprov")
    service = YProv()
    terminal, end = pty.openpty()
    with serving(service):
        command = ["-m", "yprov4wms", "push", "--to", "yprov", "--url", service.url]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("YPROV_")}
        process = subprocess.Popen(
            [sys.executable, *command, "--user", "ada@example.org"],
            cwd=tmp_path,
            env=kept,
            stdin=end,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        os.close(end)
        assert process.stderr is not None
        asked = b""
        while not asked.endswith(b": ") and (more := process.stderr.read1()):
            asked += more
        os.write(terminal, b"correct horse\n")
        out, err = process.communicate(timeout=60)
    shown = asked + out + err + echoed(terminal)
    assert process.returncode == 0, err
    assert b"Password of ada@example.org at http://" in shown
    assert len(service.documents) == 1
    assert b"horse" not in shown


def test_no_secret_is_in_what_push_leaves_or_shows(tmp_path: Path) -> None:
    run_with_child(tmp_path / ".yprov")
    service = YProv()
    with serving(service):
        options = ("--to", "yprov", "--url", service.url, "--user", "ada@example.org")
        env = {"YPROV_PASSWORD": "correct horse", "YPROV_DEBUG": "1"}
        dry = push(tmp_path, *options, "--dry-run", **env)
        done = push(tmp_path, *options, **env)
    assert (dry.returncode, done.returncode) == (0, 0), done.stderr
    left = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    for text in (dry.stdout, dry.stderr, done.stdout, done.stderr, *left):
        assert b"horse" not in text
        assert ADA.encode() not in text


def test_without_the_library_it_says_what_to_install(tmp_path: Path) -> None:
    make_run(tmp_path / ".yprov", "0198f3a0")
    (tmp_path / "httpx.py").write_text("raise ImportError('not here')")
    options = ("--to", "yprov", "--url", "http://localhost:9")
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    said = error(push(tmp_path, *options, PYTHONPATH=path))
    assert "pip install 'yprov4wms[push]'" in said
