"""Every term of the document, what it stands on, the type of its values, and what it says.

The page of the vocabulary and the JSON Schema are made of this (``docs/generate.py``).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from yprov4wms.prov.meanings import FIGURES


class Kind(StrEnum):
    """The type of an attribute's value, as the page calls it."""

    TEXT = "text"
    HEX = "text, hexadecimal"
    INT = "int"
    NUMBER = "number"
    INT_OR_TEXT = "int or text"
    BARE = "bare integer"
    BOOLEAN = "boolean"
    TIME = "time"
    TEXTS = "list of text"
    INTS = "list of int"
    LIST = "list"
    ANY = "any"


TEXT, HEX, INT, NUMBER, BOOLEAN = Kind.TEXT, Kind.HEX, Kind.INT, Kind.NUMBER, Kind.BOOLEAN
TIME, TEXTS, INTS, LIST, ANY = Kind.TIME, Kind.TEXTS, Kind.INTS, Kind.LIST, Kind.ANY


class Term(NamedTuple):
    """Attributes that are told of together.

    names: with blanks between them; without a prefix they are ``yprov4wms``'s. One that ends in
    ``.*`` stands for all names that begin so. kinds: of all, or of each. on: of which elements
    of its group.
    """

    names: str
    kinds: Kind | tuple[Kind, ...]
    what: str
    on: str = ""
    unit: str = ""

    def each(self) -> list[tuple[str, Kind]]:
        """Every name, with its prefix, and its type."""
        names = [n if ":" in n else f"yprov4wms:{n}" for n in self.names.split()]
        kinds = (self.kinds,) * len(names) if isinstance(self.kinds, Kind) else self.kinds
        return list(zip(names, kinds, strict=True))


class Group(NamedTuple):
    """Terms that stand on the same, with text before and after their table."""

    title: str
    terms: tuple[Term, ...]
    before: str = ""
    after: str = ""


ALL = Group(
    "On all elements",
    (
        Term("prov:label", TEXT, "what people call it"),
        Term("prov:type", TEXT, "above"),
        Term("prov:startTime prov:endTime", TIME, "of activities"),
        Term("prov:value", ANY, "of a parameter"),
    ),
    after="Relations have, beside their ends: `prov:time` (use, generation), `prov:role` (name of "
    "the input or output; of software `environment`), `prov:plan` (association), `prov:starter`, "
    "`prov:ender` (start, end), `yprov4wms:link`, and of a derivation that was found by content "
    "`yprov4wms:sha256`.",
)

RUN = Group(
    "On the workflow run",
    (
        Term("run_id", TEXT, "id in the store"),
        Term("engine_run_id", TEXT, "the engine's own"),
        Term("yprov4wfs:engine", TEXT, "its name"),
        Term("yprov4wfs:run_platform", TEXT, "operating system"),
        Term(
            "yprov4wfs:execution_time_sec",
            NUMBER,
            "from start to end; of attempts and ML runs, too",
            unit="s",
        ),
        Term("executor", TEXT, "what the engine ran jobs with"),
        Term("command", TEXT, "command line, quoted for a shell; of attempts and ML runs, too"),
        Term("directory", TEXT, "working directory; of ML runs, too"),
        Term(
            "host pid",
            (TEXT, INT),
            "of the engine's process; of attempts, of theirs; `pid` of ML runs, too",
        ),
        Term("error", TEXT, "why it failed; of attempts and ML runs, too"),
        Term(
            "parent_run parent_task parent_attempt",
            (TEXT, TEXT, INT),
            (
                "the attempt of another run that started this one. `parent_run` of MLflow's "
                "nested runs is the outer one"
            ),
        ),
        Term("imported", BOOLEAN, "made of what the engine had left, not recorded"),
        Term(
            "recorder_failures recorder_failure",
            (INT, TEXT),
            "failures of the recorder: how many, the first ten; the number of ML runs, too",
        ),
        Term("unreadable_events", INT, "lines of the record that cannot be read; of ML runs, too"),
        Term("output_.*", ANY, "results that are no files"),
        Term(
            "engine_.*",
            ANY,
            "the engine's own words; of attempts, steps and tasks that never ran, too",
        ),
    ),
)

ATTEMPT = Group(
    "On attempts",
    (
        Term(
            "task step",
            TEXT,
            (
                "id of the task, name of its step; of tasks that never ran, too. `task` also "
                "of what is published"
            ),
        ),
        Term("attempt", INT, "from 1"),
        Term("external_id", TEXT, "the scheduler's job id"),
        Term("script script_sha256", TEXT, "of the code that ran; of steps, too"),
        Term("threads", INT, "given"),
        Term("reason", TEXT, "why it ran; of tasks that never ran, why not"),
        Term("exit_code", INT, "negative: the signal"),
        Term("signal", Kind.INT_OR_TEXT, "what killed it"),
        Term("started_processes", INT, "processes that the engine started for it"),
        Term(
            "param_.* wildcard_.* resource_.* output_.*",
            ANY,
            "by name; keys of nested mappings follow a dot",
        ),
    ),
    after="Where PROV's local names cannot hold a name, it is changed, and stands as it was in the "
    "same name with `_name` at its end.",
)

FIGURE = Group(
    "Figures of runs and attempts",
    (
        *(
            Term(" ".join(f"{name}.*" for name in names), NUMBER, "", unit=unit)
            for unit, names in FIGURES.items()
        ),
        Term("yprov4wfs:ram_usage_mb", NUMBER, "the peak of memory", unit="MB of 10^6 B"),
        Term("yprov4wfs:carbon_footprint_kg", NUMBER, "", unit="kg"),
    ),
    before="[Figures](document.md) stand each with `_unit`, `_method` and where it matters "
    "`_scope`; an interval has `_low` and `_high`. The last two are for yProv4WFs' tools.",
)

PLAN = Group(
    "On the plan",
    (
        Term("path sha256", TEXT, "its main file", on="workflow"),
        Term(
            "packed_document packed_sha256",
            TEXT,
            "the workflow in one file (CWL), in the run's folder",
            on="workflow",
        ),
        Term(
            "git_commit git_branch git_remote",
            TEXT,
            "the state of the code",
            on="workflow; runs of MLflow",
        ),
        Term(
            "git_dirty git_changed",
            (BOOLEAN, TEXT),
            "whether it differs from the commit; which files do, a line each",
            on="workflow",
        ),
        Term("config_.*", ANY, "configuration", on="workflow"),
        Term(
            "yprov4wfs:type yprov4wfs:description",
            TEXT,
            "kind of process; documentation",
            on="step; `description` of ports, too",
        ),
        Term("title", TEXT, "label in the workflow's document", on="step, port"),
        Term(
            "source line",
            (TEXT, INT),
            "where it is written. `source` of MLflow's data sets: where they come from",
            on="step",
        ),
        Term("code", TEXT, "what it runs", on="step"),
        Term("port direction", TEXT, "its name; `input` or `output`", on="port"),
        Term(
            "port_type format",
            TEXT,
            "as the workflow's language says",
            on="port; `format` of files, too",
        ),
        Term(
            "default value_from",
            (ANY, TEXT),
            "its value where none is given; the expression that makes it",
            on="port",
        ),
    ),
)

FILE = Group(
    "On files and directories",
    (
        Term(
            "path",
            TEXT,
            "relative to the run's directory where it lies inside; else absolute, or a URL",
        ),
        Term("size", INT, "", unit="B"),
        Term(
            "sha256 sha1",
            HEX,
            "of the content; of a directory, of its members' paths and checksums",
        ),
        Term(
            "file_type",
            TEXT,
            "`directory`, `fifo`, `url`, `literal`, `asset`, `other`; a plain file has none",
        ),
        Term("put_together", BOOLEAN, "a directory whose members the engine brought together"),
        Term("temporary", BOOLEAN, "the engine removes it when it is not needed any more"),
        Term("link_target", TEXT, "of a symbolic link"),
        Term("member_count", INT, "files in a directory"),
        Term(
            "note",
            TEXT,
            (
                "why something is missing, such as a checksum; of a child's document, why it "
                "is not nested as asked; of MLflow's models, the message of their status"
            ),
        ),
        Term("asset_.*", ANY, "what Airflow knows of an asset"),
        Term("artifact", TEXT, "the name by which an ML run logged it"),
        Term("artifact_path", TEXT, "its path among the artifacts of an ML run"),
    ),
)

SOFTWARE = Group(
    "On software and agents",
    (
        Term(
            "software_kind",
            TEXT,
            "`engine`, `plugin`, `package`, `conda`, `container`...",
            on="software, engine, plugin",
        ),
        Term("name version", TEXT, "", on="the same; `name` of a person, too"),
        Term("path sha256 url", TEXT, "of its file, image or environment", on="software"),
        Term("version_.*", TEXT, "version of each package", on="environment of a workflow run"),
        Term(
            "platform machine cpus",
            (TEXT, TEXT, INT),
            "operating system, architecture, processors that it may use",
            on="environment of an ML run",
        ),
        Term("packages", TEXTS, "`name==version`", on="environment of an ML run"),
        Term(
            "commit branch remote dirty changed",
            (TEXT, TEXT, TEXT, BOOLEAN, TEXTS),
            "the commit, and which files differ from it",
            on="source code of an ML run",
        ),
        Term("login orcid", TEXT, "`orcid`: a URI", on="person"),
    ),
)

ML = Group(
    "On ML runs, contexts and ranks",
    (
        Term("yprov:experiment_name yprov:run_id", TEXT, "what it belongs to; its id"),
        Term("yprov:python_version yprov:host_name", TEXT, "of its process"),
        Term(
            "yprov:global_rank yprov:local_rank",
            TEXT,
            "of a rank; `global_rank` of its metrics, too",
        ),
        Term(
            "yprov:context",
            TEXT,
            "full name of a context inside another; on what was logged, its context",
        ),
        Term("yprov:source", TEXT, "on what was logged: what it comes from"),
        Term(
            "ranks world_size launcher",
            (INT, INT, TEXT),
            (
                "of a run of several processes: how many told of themselves, how many there "
                "were to be, what started them"
            ),
        ),
        Term("lost", BOOLEAN, "a rank that was killed"),
        Term("attribute_.*", ANY, "what else the script said: of a run, data set, model or file"),
    ),
)

ML_DATA = Group(
    "On what an ML run used and made",
    (
        Term("earlier_values", LIST, "those that the last one replaced", on="parameter"),
        Term(
            "count first last min max",
            (INT, NUMBER, NUMBER, NUMBER, NUMBER),
            "of the series, in the order of logging; `min` and `max` without NaN",
            on="metric",
        ),
        Term("first_step last_step", INT, "", on="metric of MLflow"),
        Term("missing_values", INT, "gaps in the series", on="metric of yProv4ML"),
        Term("unit", TEXT, "", on="metric"),
        Term(
            "dcterms:identifier series sha256",
            (TEXT, INT, TEXT),
            (
                "[file of the series](ml.md#the-file-of-metrics), in the run's folder, the "
                "series' number in it, and the file's checksum when its process has ended; of"
                " other recorders `series` alone (text): where the series is"
            ),
            on="metric",
        ),
        Term("samples", INT, "", on="data set"),
        Term("shape", INTS, "", on="data set"),
        Term("content_sha256", TEXT, "of the values in memory", on="data set"),
        Term("step", INT, "when it was logged", on="model, file"),
        Term(
            "model_class parameters layers",
            (TEXT, INT, LIST),
            "class, number of parameters, layers",
            on="model",
        ),
    ),
)

CHILD = Group(
    "On child runs",
    (
        Term("dialect dialect_version", TEXT, "what wrote it"),
        Term(
            "child_run",
            TEXT,
            (
                "id of the run in it; also on the activity that stands for a child in "
                "`bundle` and `link`"
            ),
        ),
        Term("origin", TEXT, "where it lay"),
        Term("complete", BOOLEAN, "whether its end was recorded"),
        Term("doubt", TEXT, "why it may be another task's"),
        Term("repaired", TEXTS, "what is said in another form now, or could not be kept"),
    ),
    before="On the entity of a child's document, beside `path`, `size`, `sha256` and `note`:",
    after="On the activity that stands for a child in `bundle` and `link`: `yprov4wms:document`, "
    "the document's entity.",
)

FLATTENED = Group(
    "On flattened child runs",
    (
        Term("original_id", TEXT, "its identifier in its own document"),
        Term("original_relation", TEXT, "the relation that it was"),
        Term("original_.*", ANY, "a value or name that could not stand as it was"),
        Term(
            "prov_.*",
            ANY,
            (
                "an attribute of PROV's that its place does not allow, such as "
                "`yprov4wms:prov_endTime` before the start"
            ),
        ),
        Term(
            "further_.*",
            LIST,
            "further ends of a relation; labels, types and values beside the one that an element "
            "has",
        ),
        Term("written", TIME, "when yProv4ML wrote the document, where it gives that as the start"),
    ),
    before="On the records of a flattened child, and of what readers made:",
    after="Of yProv4ML 1.0 its own terms stay, such as `provml:type`, `provml:parameter_value`, "
    "`provml:artifact_uri`, `provml:artifact_path`; of the others `yprov:PID`, "
    "`yprov:experiment_dir`, `yprov:time_zone` and what else they wrote.",
)

MLFLOW = Group(
    "On runs of MLflow",
    (
        Term("mlflow_status", TEXT, "MLflow's word", on="run"),
        Term(
            "experiment_id tracking_store artifacts",
            TEXT,
            "experiment, tracking URI, artifact URI",
            on="run",
        ),
        Term("deleted", BOOLEAN, "", on="run"),
        Term("description", TEXT, "its note", on="run"),
        Term(
            "source_name source_type",
            TEXT,
            "script, kind of source",
            on="run; `source_type` of data sets, too",
        ),
        Term("registered_models", TEXTS, "versions in the registry", on="run"),
        Term("digest schema profile", TEXT, "as MLflow has them", on="data set"),
        Term("model_id model_type model_status location", TEXT, "as MLflow has them", on="model"),
        Term("flavors", TEXTS, "", on="model"),
        Term("parameter_.* metric_.*", (TEXT, NUMBER), "", on="model"),
        Term("tag_.*", TEXT, "", on="run, data set, model"),
    ),
)

COARSE = Group(
    "On a run in a coarse view",
    (
        Term("analytics4yprov:level", Kind.BARE, "how many reductions: 1"),
        Term("analytics4yprov:source", TEXT, "the finer document, by its path in the store"),
        Term("analytics4yprov:aggregates", TEXTS, "identifiers there of what the run stands for"),
    ),
    before="In the convention of yProv's tools ([the coarse view](formats.md#the-coarse-view)): "
    "the type is the text `reduced_pipeline`, and the run's own `yprov4wms:further_type`.",
)

GROUPS = (
    *(ALL, RUN, ATTEMPT, FIGURE, PLAN, FILE, SOFTWARE, ML, ML_DATA, CHILD, FLATTENED, MLFLOW),
    COARSE,
)
