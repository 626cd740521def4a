"""Options: one name everywhere, checked values, errors that say what is allowed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yprov4wms.metering.energy import Watts
from yprov4wms.settings import DEFAULT_STORE, OPTIONS, SettingError, Settings, load, told

NAMES = [option.name for option in OPTIONS]


def test_defaults_are_those_of_the_options() -> None:
    assert load(environment={}) == Settings()
    for option in OPTIONS:
        if option.default is not None:
            assert load({option.name: option.default}, {}) == Settings(), option.name
    assert Settings().store == DEFAULT_STORE


def test_every_setting_is_an_option_with_help_and_a_variable() -> None:
    assert list(Settings._fields) == NAMES
    for option in OPTIONS:
        assert option.env == f"YPROV_{option.name.upper()}"
        assert option.help.endswith(".")


def test_what_is_given_stands_before_the_variable_and_that_before_the_default() -> None:
    environment = {"YPROV_NEST": "link", "YPROV_HASH": "none", "YPROV_STORE": ""}
    found = load({"nest": "bundle", "hash": None}, environment)
    assert (found.nest, found.hash, found.store) == ("bundle", "none", DEFAULT_STORE)


def test_what_airflow_alone_exports_counts_where_no_other_run_is_around() -> None:
    """As a BashOperator with an ``env`` of its own has it."""
    exported = {"AIRFLOW_CTX_YPROV_STORE": "/airflow", "AIRFLOW_CTX_YPROV_RUN_ID": "r"}
    assert load({}, exported).store == "/airflow"
    assert told("YPROV_RUN_ID", exported) == "r"
    assert load({}, {**exported, "YPROV_STORE": "/mine"}).store == "/mine"
    # Inside a task of Snakemake's, say, that Airflow's task had started.
    assert told("YPROV_TASK_ID", {"YPROV_RUN_ID": "s", "AIRFLOW_CTX_YPROV_TASK_ID": "t"}) is None


def test_the_environment_is_the_processs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YPROV_STRICT", "yes")
    assert load().strict is True
    assert load({"strict": False}).strict is False


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("strict", "1", True),
        ("strict", " TRUE ", True),
        ("strict", "on", True),
        ("strict", "off", False),
        ("strict", False, False),
        ("hash_limit", "500", 500),
        ("hash_limit", 500, 500),
        ("hash_limit", "0", 0),
        ("hash_limit", "2k", 2048),
        ("hash_limit", "1.5M", 3 << 19),
        ("hash_limit", " 3G ", 3 << 30),
        ("hash_limit", "1T", 1 << 40),
        ("sample_interval", "0", 0.0),
        ("sample_interval", 2, 2.0),
        ("carbon_intensity", "250.5", 250.5),
        ("cpu_watts", "5", "5"),
        ("cpu_watts", "2-12.5", "2-12.5"),
        ("orcid", "0000-0002-1825-0097", "0000-0002-1825-0097"),
        ("orcid", "https://orcid.org/0000-0002-1825-0097/", "0000-0002-1825-0097"),
        ("orcid", "0000000218250097", "0000-0002-1825-0097"),
        ("orcid", "0000-0002-9079-593x", "0000-0002-9079-593X"),
    ],
)
def test_a_good_value(name: str, value: object, expected: object) -> None:
    assert getattr(load({name: value}, {}), name) == expected
    assert getattr(load({}, {f"YPROV_{name.upper()}": str(value)}), name) == expected


BAD = [
    ("strict", "maybe"),
    ("export", "END"),
    ("export", "sometimes"),
    ("nest", "deep"),
    ("hash", "md5"),
    ("hash_limit", "-1"),
    ("hash_limit", -1),
    ("hash_limit", True),
    ("hash_limit", "k"),
    ("hash_limit", "5X"),
    ("hash_limit", "inf"),
    ("hash_limit", "nan"),
    ("hash_limit", "1e999"),
    ("sample_interval", "-0.1"),
    ("sample_interval", "nan"),
    ("sample_interval", "inf"),
    ("sample_interval", "soon"),
    ("carbon_intensity", "green"),
    ("cpu_watts", "hot"),
    ("cpu_watts", "5-"),
    ("cpu_watts", "1-2-3"),
    ("cpu_watts", "-5"),
    ("cpu_watts", "1e3"),
    ("orcid", "0000-0002-1825-0098"),
    ("orcid", "me"),
    ("orcid", "000²-0002-1825-0097"),
    ("store", "  "),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_told_with_its_option_and_what_is_allowed(name: str, value: object) -> None:
    with pytest.raises(SettingError) as raised:
        load({name: value}, {})
    said = str(raised.value)
    assert name.replace("_", "-") in said
    assert f"YPROV_{name.upper()}" in said
    assert repr(value) in said
    assert "\n" not in said


def test_every_choice_is_named_where_one_is_wrong() -> None:
    for option in OPTIONS:
        if option.choices and option.name != "strict":
            with pytest.raises(SettingError, match=", ".join(option.choices)):
                load({option.name: "no such"}, {})
            for choice in option.choices:
                assert getattr(load({option.name: choice}, {}), option.name) == choice


@given(st.sampled_from(NAMES), st.text())
def test_any_text_is_taken_or_refused_as_a_setting_error(name: str, value: str) -> None:
    try:
        found = load({name: value}, {})
    except SettingError:
        return
    if name == "cpu_watts":
        assert Watts.parse(str(found.cpu_watts)).low >= 0
    if name == "hash_limit":
        assert isinstance(found.hash_limit, int)
        assert found.hash_limit >= 0


@given(st.text("0123456789.- ", max_size=8))
def test_watts_that_are_taken_are_those_that_metering_reads(value: str) -> None:
    try:
        load({"cpu_watts": value}, {})
    except SettingError:
        with pytest.raises(ValueError, match="watts"):
            Watts.parse(value)
    else:
        Watts.parse(value)
