"""Processes that end when they are told to, and two of Debian's servers on loopback."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
from tests import debian

T = TypeVar("T")


class Process:
    """One server, in a session of its own; what it says is in its log."""

    def __init__(
        self,
        name: str,
        command: Iterable[str],
        log: Path,
        env: Mapping[str, str],
        *,
        stdin: str | None = None,
        user: str | None = None,
    ) -> None:
        self.name = name
        self.log = log
        #: Whether it is to run, and whose end is a failure.
        self.wanted = True
        self._known: set[psutil.Process] = set()
        options = ["--pdeathsig", "INT"]  # so that nothing outlives a test that is killed
        if user is not None:
            options += ["--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid)]
            options += ["--clear-groups"]
        if shutil.which("setpriv"):
            command = ["setpriv", *options, *command]
        with log.open("ab") as file:
            self.popen = subprocess.Popen(
                list(command),
                cwd=log.parent if user is None else "/",
                env=env,
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                text=True,
                start_new_session=True,
            )
        self.pid = self.popen.pid
        if stdin is not None:
            self.write(stdin)

    def write(self, text: str) -> None:
        """To its standard input, which stays open."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(text)
        self.popen.stdin.flush()

    def running(self) -> bool:
        return self.popen.poll() is None

    def processes(self) -> list[psutil.Process]:
        """It and all that it is known to have started, as far as they run.

        Airflow's tasks have process groups of their own, and bash operators' sessions.
        """
        with contextlib.suppress(psutil.NoSuchProcess):
            leader = psutil.Process(self.pid)
            if self.running():
                self._known |= {leader, *leader.children(recursive=True)}
        for pid in psutil.pids():  # those whose parent ended before them
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
                if os.getsid(pid) == self.pid:
                    found = psutil.Process(pid)
                    self._known |= {found, *found.children(recursive=True)}
        return [p for p in self._known if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]

    def terminate(self) -> None:
        self.wanted = False
        self.processes()
        if self.running():
            self.popen.terminate()

    def kill(self, *, alone: bool = False) -> None:
        """With all that it started, unless alone; they are gone when this returns."""
        self.wanted = False
        found = [] if alone else self.processes()
        self.popen.kill()
        self.popen.wait(30)

        def gone() -> bool:
            for process in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            found[:] = self.processes()  # with what was started in between
            return not found

        if not alone:
            until(gone, f"the end of {self.name}", 30)
        if self.popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.popen.stdin.close()


def stop(processes: Iterable[Process], seconds: float) -> None:
    """Asked to end; killed, with all that is left of them, after these seconds."""
    asked = list(processes)
    for process in asked:
        process.terminate()
    deadline = time.monotonic() + seconds
    for process in asked:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.popen.wait(max(0.0, deadline - time.monotonic()))
        process.kill()


def until(
    condition: Callable[[], T | None],
    what: str,
    timeout: float,
    processes: Iterable[Process] = (),
    said: Callable[[], str] = str,
) -> T:
    """What the condition gives once that is true; AssertionError after the timeout (s), or
    where one of the processes ended that should not, with what was said."""
    deadline = time.monotonic() + timeout
    while True:
        if found := condition():
            return found
        for process in processes:
            if process.wanted and not process.running():
                status = process.popen.returncode
                raise AssertionError(
                    f"{process.name} ended with {status}, waiting for {what}\n{said()}"
                )
        if time.monotonic() > deadline:
            raise AssertionError(f"no sign of {what} in {timeout} s\n{said()}")
        time.sleep(0.1)


@contextlib.contextmanager
def postgresql(home: Path) -> Iterator[str]:
    """The URL of an empty database. Skips where PostgreSQL cannot be had."""
    for module in ("psycopg2", "asyncpg"):
        pytest.importorskip(module)
    # PostgreSQL refuses root, and nobody else may enter a folder of pytest's.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        root = debian.unpacked(folder, "postgresql")
        found = sorted(
            path
            for usr in (root / "usr", Path("/usr"))
            for path in (usr / "lib" / "postgresql").glob("*/bin/postgres")
        )
        if not found:
            pytest.skip("PostgreSQL is neither in Debian's packages nor installed")
        programs = found[-1].parent
        user, env = ("nobody" if os.geteuid() == 0 else None), _environment(root)
        if user is not None and shutil.which("setpriv") is None:
            pytest.skip("PostgreSQL refuses root, and there is no setpriv")
        home.mkdir(parents=True)
        data, password = folder / "data", folder / "password"
        data.mkdir()
        password.write_text(secrets.token_hex(16))
        if user is not None:
            for path in (data, password):
                shutil.chown(path, user)
        make = [str(programs / "initdb"), "--pgdata", str(data), "--pwfile", str(password)]
        make += ["--username=airflow", "--auth=scram-sha-256", "--locale=C.UTF-8", "--no-sync"]
        made = Process("initdb", make, home / "initdb.log", env, user=user)
        made.wanted = False
        until(lambda: not made.running(), "initdb", 60)
        assert made.popen.returncode == 0, made.log.read_text()
        port = free_port()
        settings = {"listen_addresses": "127.0.0.1", "port": str(port), "fsync": "off"}
        settings["unix_socket_directories"] = ""
        run = [str(programs / "postgres"), "-D", str(data)]
        run += [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        server = Process("postgres", run, home / "postgres.log", env, user=user)
        url = f"postgresql+psycopg2://airflow:{password.read_text()}@127.0.0.1:{port}/postgres"
        try:
            until(lambda: _connects(port), "PostgreSQL", 60, [server], server.log.read_text)
            yield url
        finally:
            stop([server], 0)  # its data are not wanted any more


@contextlib.contextmanager
def redis(home: Path) -> Iterator[str]:
    """The URL of an empty Redis, to which a slash and a database's number are added."""
    pytest.importorskip("redis")
    root = debian.unpacked(home, "redis-server")
    program = shutil.which("redis-server", path=f"{root}/usr/bin{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("Redis is neither in Debian's packages nor installed")
    port, password = free_port(), secrets.token_hex(16)
    settings = f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\n'
    log = home / "redis.log"
    server = Process("redis-server", [program, "-"], log, _environment(root), stdin=settings)
    assert server.popen.stdin is not None
    server.popen.stdin.close()
    try:
        until(lambda: _connects(port), "Redis", 60, [server], server.log.read_text)
        yield f"redis://:{password}@127.0.0.1:{port}"
    finally:
        stop([server], 0)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _connects(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _environment(root: Path) -> dict[str, str]:
    """With the libraries that were unpacked beside a program."""
    folders = [*root.glob("usr/lib/*-linux-*"), *root.glob("lib/*-linux-*")]
    return {**os.environ, "LC_ALL": "C.UTF-8", "LD_LIBRARY_PATH": ":".join(map(str, folders))}
