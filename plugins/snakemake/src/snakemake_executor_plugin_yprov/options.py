"""The recorder's settings as options of Snakemake's plugins."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Optional

from snakemake_interface_common.exceptions import ApiError

from yprov4wms import settings as core


class RecorderOptions:
    """Of a plugin's settings class that has `FIELDS`."""

    def given(self) -> dict[str, Any]:
        """The options that were given, by name."""
        values = {option.name: getattr(self, option.name) for option in core.OPTIONS}
        return {name: value for name, value in values.items() if value not in (None, False)}


def _field(option: core.Option) -> tuple[str, Any, Any]:
    metadata: dict[str, Any] = {"help": f"{option.help} (environment: {option.env})"}
    if option.name == "strict":
        return option.name, bool, field(default=False, metadata=metadata)
    if option.choices:
        metadata["choices"] = list(option.choices)
    # Snakemake knows Optional[str], and not str | None.
    return option.name, Optional[str], field(default=None, metadata=metadata)  # noqa: UP045


#: For `dataclasses.make_dataclass`.
FIELDS = [_field(option) for option in core.OPTIONS]


def of_logger(workflow: Any) -> dict[str, Any] | None:
    """What was given to the logger plugin of this workflow; None where it has none."""
    for handler in workflow.logger_manager.get_log_handlers():
        if isinstance(handler.settings, RecorderOptions):
            return handler.settings.given()
    return None


def load(given: dict[str, Any]) -> core.Settings:
    """The recorder's settings; raises ApiError for a value that cannot be."""
    try:
        return core.load(given)
    except core.SettingError as error:
        raise ApiError(f"yprov: {error}") from None
