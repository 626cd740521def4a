"""The ``yprov4wms`` command: one module per subcommand."""

from __future__ import annotations

import os
import sys

import click

from yprov4wms import __version__
from yprov4wms.cli import (
    attach,
    doctor,
    export,
    imports,
    push,
    runs,
    schema,
    show,
    style,
    validate,
    verify,
)
from yprov4wms.settings import SettingError
from yprov4wms.store import StoreError

EPILOG = """\b
Exit status:
  0  done
  1  the answer is no: rules are broken (validate), something differs (verify), recording
     cannot work (doctor)
  2  wrong usage, or input or output that cannot be used
  3  a defect of yprov4wms itself; YPROV_DEBUG=1 prints the traceback
  130  interrupted
"""


@click.group(
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="yprov4wms")
def cli() -> None:
    """Look at recorded workflow runs, and make their provenance documents."""


for module in (runs, show, export, push, imports, attach, validate, verify, schema, doctor):
    cli.add_command(module.command)


def main() -> None:
    """Entry point: any error is one line on stderr."""
    try:
        # Outside its standalone mode click returns the status that a command exits with.
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.Abort:
        _fail("interrupted", 130)
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        usage = isinstance(error, click.UsageError)
        path = context.command_path if context else "yprov4wms"
        hint = f" (see: {path} --help)" if usage else ""
        _fail(error.format_message() + hint)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except (StoreError, SettingError, ValueError) as error:
        _fail(str(error))
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        _fail(f"{name}{error.strerror or error}")
    except Exception as error:
        if os.environ.get("YPROV_DEBUG"):
            raise
        what = f"{type(error).__name__}: {error}"
        _fail(f"unexpected {what} (YPROV_DEBUG=1 prints the traceback; please report it)", 3)


def _fail(message: str, code: int = 2) -> None:
    text = style.plain(" ".join(message.split()))
    click.echo(f"yprov4wms: error: {text}", err=True)
    sys.exit(code)
