"""Options and arguments that several subcommands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from yprov4wms.settings import DEFAULT_STORE, SIZE, size
from yprov4wms.store import Store

store: Callable[[Any], Any] = click.option(
    "--store",
    default=lambda: os.environ.get("YPROV_STORE") or DEFAULT_STORE,
    metavar="FOLDER|URL",
    help=f"Where the runs are (default: $YPROV_STORE, else {DEFAULT_STORE}).",
)

run: Callable[[Any], Any] = click.argument("run", default="latest")

RUN_HELP = """RUN is the id of a run, a part of it that no other has, its folder, or `latest`
(the default)."""


def open_store(location: str) -> Store:
    return Store(location)


class Size(click.ParamType[int]):
    """A number of bytes, such as 500M."""

    name = "SIZE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        count = value if isinstance(value, int) else size(str(value))
        if count is None:
            self.fail(f"{value!r} is not {SIZE}", param, ctx)
        return count
