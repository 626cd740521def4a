"""``yprov4wms push``: documents of a run to yProv's services."""

from __future__ import annotations

import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from yprov4wms.cli import options, style
from yprov4wms.settings import load
from yprov4wms.store import RunFolder, Store

if TYPE_CHECKING:
    from yprov4wms.push.credentials import Ask, Credentials
    from yprov4wms.push.http import Client
    from yprov4wms.push.service import Service, Wishes

YPROV = "yprov"
YPROVSTORE = "yprovstore"


@click.command(
    "push",
    epilog="""\b
Examples:
  yprov4wms push --to yprov --url https://yprov.example.org --user ada
  yprov4wms push 0192f --to yprovstore --url https://store.example.org --nest link
  yprov4wms push --to yprov --url http://localhost:3000 --user ada --permission bob:r --dry-run
""",
    help=f"""Send the document of a run to a yProv service or a yProvStore.

{options.RUN_HELP} The run's folder keeps what was sent, so that a second push completes, updates
or, at a yProvStore, makes a new version; nothing is there twice.

Credentials: a token in $YPROV_TOKEN or --token-file, or --user with the password in
$YPROV_PASSWORD or asked for on a terminal. No option takes a secret.""",
)
@options.run
@options.store
@click.option("--to", required=True, type=click.Choice([YPROV, YPROVSTORE]), help="The service.")
@click.option("--url", envvar="YPROV_URL", required=True, help="Its address (or: $YPROV_URL).")
@click.option("--user", metavar="NAME", help="Log in as; a yProvStore's users are addresses.")
@click.option("--token-file", metavar="FILE", help="A token that its owner alone can read.")
@click.option(
    "--nest",
    type=click.Choice(["flatten", "bundle", "link"]),
    help="How child runs enter the document (default: $YPROV_NEST, else flatten). link: their "
    "documents are sent as well, and at a yProvStore related to the run's.",
)
@click.option(
    "--permission",
    "permissions",
    multiple=True,
    metavar="USER:r|w",
    help="Let others read or write the documents; repeatable.",
)
@click.option("--document-id", metavar="ID", help="At a yProv service (default: run-<run id>).")
@click.option(
    "--update", is_flag=True, help="The document of that id at a yProv service is yours: merge."
)
@click.option("--parent", metavar="PID", help="At a yProvStore: make a new version of this one.")
@click.option("--title", help="At a yProvStore; so --description and --keyword.")
@click.option("--description")
@click.option("--keyword", "keywords", multiple=True, help="Repeatable.")
@click.option(
    "--timeout",
    type=click.FloatRange(1, 86400),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="For all requests, with every repetition.",
)
@click.option("--allow-http", is_flag=True, help="Send credentials unencrypted over a network.")
@click.option("--dry-run", is_flag=True, help="Build and check all, say what would be sent.")
def command(
    run: str,
    store: str,
    to: str,
    url: str,
    user: str | None,
    token_file: str | None,
    nest: str | None,
    permissions: tuple[str, ...],
    document_id: str | None,
    update: bool,
    parent: str | None,
    title: str | None,
    description: str | None,
    keywords: tuple[str, ...],
    timeout: float,
    allow_http: bool,
    dry_run: bool,
) -> None:
    try:
        import httpx  # noqa: F401
    except ImportError as error:
        text = f"push needs httpx: pip install 'yprov4wms[push]' ({error})"
        raise click.ClickException(text) from error
    from yprov4wms.push import credentials
    from yprov4wms.push.service import PushError, Wishes

    wishes = Wishes(
        nest=load({"nest": nest}).nest,
        permissions=_permissions(permissions),
        document_id=document_id,
        update=update,
        parent=parent,
        title=title,
        description=description,
        keywords=keywords,
    )
    folder = Store(store).find(run)
    told = _Told()
    try:
        address = credentials.address(url, allow_http)
        ask = _asking(address, dry_run) if sys.stdin is not None and sys.stdin.isatty() else None
        found = credentials.find(user, token_file, ask)
        _push(folder, to, address, found, wishes, timeout, told, dry_run)
    except (PushError, OSError) as error:
        raise click.ClickException(f"{error}{told.so_far()}") from error


def _push(
    folder: RunFolder,
    to: str,
    address: str,
    credentials: Credentials,
    wishes: Wishes,
    timeout: float,
    told: _Told,
    dry_run: bool,
) -> None:
    from yprov4wms.push.parcels import pack

    with tempfile.TemporaryDirectory(prefix="yprov4wms-push-") as place:
        service, client = _service(folder, to, address, credentials, timeout, told)
        with closing(client):
            # What cannot be asked of the service is told before anything is built.
            service.refuse(wishes)
            parcels, notes = pack(folder, wishes.nest, Path(place))
            for note in notes:
                told.note(note)
            for step in service.steps(parcels, wishes):
                if dry_run:
                    click.echo(style.plain(step.told))
                else:
                    step.do()


def _service(
    folder: RunFolder, to: str, address: str, found: Credentials, timeout: float, told: _Told
) -> tuple[Service, Client]:
    from yprov4wms.push import yprov, yprovstore
    from yprov4wms.push.credentials import Secrets
    from yprov4wms.push.http import Client
    from yprov4wms.push.memory import Memory

    if to == YPROV:
        address = yprov.base(address)
    client = Client(address, timeout, Secrets(found.token, found.password))
    memory = Memory(folder, to, address)
    kind = yprov.YProv if to == YPROV else yprovstore.YProvStore
    return kind(client, found, memory, told, folder.run_id), client


class _Told:
    """Tells as it happens: documents on stdout, the rest on stderr (`push.service.Tell`)."""

    def __init__(self) -> None:
        self._sent: list[str] = []

    def sent(self, identifier: str, url: str, what: str) -> None:
        self._sent.append(identifier)
        click.echo(style.plain(f"{identifier}  {url}  ({what})"))
        sys.stdout.flush()

    def note(self, text: str) -> None:
        click.echo(f"yprov4wms: warning: {style.plain(text)}", err=True)

    def so_far(self) -> str:
        """What a failure leaves behind."""
        if not self._sent:
            return ""
        there = ", ".join(self._sent)
        return f"; there already: {there}; the same command again does what is missing"


def _asking(address: str, dry_run: bool) -> Ask:
    def ask(user: str) -> str:
        if dry_run:
            return ""
        answer: str = click.prompt(f"Password of {user} at {address}", hide_input=True, err=True)
        return answer

    return ask


def _permissions(given: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        user, _, level = text.rpartition(":")
        if not user.strip() or level not in ("r", "w"):
            raise click.UsageError(f"--permission {text!r}: give USER:r or USER:w")
        if found.setdefault(user, level) != level:
            raise click.UsageError(f"--permission: {user} has both r and w")
    return found
