"""The plan of a run: its workflow with the steps, tools, formal parameters and connections."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from yprov4wms.events import Port, Software
from yprov4wms.export.rocrate.crate import Crate, Reference, reference
from yprov4wms.export.rocrate.software import Programs
from yprov4wms.export.rocrate.steps import Step, positions, steps_of
from yprov4wms.export.rocrate.values import plain
from yprov4wms.prov.values import hashed_name
from yprov4wms.run import Run

FORMAL_PARAMETER = "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"
INPUT, OUTPUT = "input", "output"

#: Types of CWL, in schema.org's words and RO-Crate's.
_TYPES = {
    "File": "File",
    "stdout": "File",
    "stderr": "File",
    "stdin": "File",
    "Directory": "Dataset",
    "boolean": "Boolean",
    "int": "Integer",
    "long": "Integer",
    "float": "Float",
    "double": "Float",
    "string": "Text",
    "enum": "Text",
    "record": "PropertyValue",
}
_DATA = {"File", "Dataset", "CreativeWork"}


@dataclass
class _Parameter:
    """A formal parameter. types: what was found that stands for it."""

    identifier: str
    step: str | None
    direction: str
    name: str
    port: Port | None
    types: dict[str, None] = field(default_factory=dict)


class Plan:
    """The steps of a run and what they need.

    prefix: of ids that only this run has. about: what holds for all code of the run (version,
    url).

    A step that ran has a tool that the workflow lists as its part. One that never did has a
    tool, too, but the workflow does not list it: by the profile, what is listed was executed.
    """

    def __init__(
        self,
        crate: Crate,
        run: Run,
        prefix: str,
        programs: Programs,
        about: dict[str, Any],
    ) -> None:
        self._crate, self._run, self._prefix = crate, run, prefix
        self._programs, self._about = programs, about
        self._steps = steps_of(run)
        #: By step, direction, name, and whether it is data that stand for it.
        self._parameters: dict[tuple[str | None, str, str, bool], _Parameter] = {}
        self._by_id: dict[str, _Parameter] = {}
        self._values: dict[str, Reference] = {}
        #: By step and direction.
        self._owned: dict[tuple[str | None, str], list[Reference]] = {}
        self._connections: dict[tuple[str, str], None] = {}
        #: By step, of files that are its code: the script that a task of it ran.
        self.scripts: dict[str, Reference] = {}
        self._declare(None, run.start.inputs, run.start.outputs)
        for name, step in self._steps.items():
            self._declare(name, step.declared.inputs, step.declared.outputs)

    @property
    def _outermost(self) -> list[Step]:
        return [s for s in self._steps.values() if s.around is None and not s.is_group]

    @property
    def ran(self) -> bool:
        """Whether any tool was executed."""
        return any(step.ran for step in self._steps.values())

    def tool(self, step: str) -> Reference:
        return reference(f"{self._prefix}/tool/{quote(step, safe='')}")

    def step(self, step: str) -> Reference:
        return reference(f"{self._prefix}/step/{quote(step, safe='')}")

    def parameter(self, step: str | None, direction: str, name: str, data: bool = True) -> str:
        """The id of a formal parameter of a step's tool; of the workflow where that is None.

        data: it stands for data, and not for values; what is not declared may have one of the
        same name for each (Snakemake's inputs, parameters and wildcards).
        """
        known = self._parameters.get((step, direction, name, True))
        if known is not None and known.port is not None:
            return known.identifier
        return self._parameter(step, direction, name, data).identifier

    def value(self, step: str | None, direction: str, name: str, value: object) -> Reference:
        """A value that a parameter was given, once for all that were given it."""
        parameter = self.parameter(step, direction, name, data=False)
        content, kind = plain(value)
        key = hashed_name("value", parameter, kind, str(content))
        if key not in self._values:
            self.realized(parameter, kind)
            self._values[key] = self._crate.tell(
                f"{self._prefix}/{key}",
                "PropertyValue",
                name=name,
                value=content,
                exampleOfWork=reference(parameter),
            )
        return self._values[key]

    def variable(self, name: str, value: object) -> Reference:
        """An environment variable that was set for an action."""
        content, kind = plain(value)
        key = hashed_name("variable", name, kind, str(content))
        if key not in self._values:
            self._values[key] = self._crate.tell(
                f"{self._prefix}/{key}", "PropertyValue", name=name, value=content
            )
        return self._values[key]

    def realized(self, parameter: str, kind: str) -> None:
        """Tell what kind of thing stood for a parameter, by its id."""
        self._by_id[parameter].types[kind] = None

    def connect(self, source: str, target: str) -> None:
        """Tell that data went from one parameter, by its id, to another; where the plan says
        itself what is connected, that stands."""
        step = self._by_id[target].step
        if step is not None and not self._ports(step, INPUT) and not self._ports(step, OUTPUT):
            self._connect(source, target)

    def _connect(self, source: str, target: str) -> None:
        if source != target:
            self._connections[source, target] = None

    # -- formal parameters ---------------------------------------------------------

    def _parameter(
        self, step: str | None, direction: str, name: str, data: bool, port: Port | None = None
    ) -> _Parameter:
        key = (step, direction, name, data)
        known = self._parameters.get(key)
        if known is None:
            owner = "workflow" if step is None else f"tool/{quote(step, safe='')}"
            way = direction if data else f"{direction}-value"
            identifier = f"{self._prefix}/{owner}/{way}/{quote(name, safe='')}"
            known = self._parameters[key] = _Parameter(identifier, step, direction, name, port)
            self._by_id[identifier] = known
            self._owned.setdefault((step, direction), []).append(reference(identifier))
        return known

    def _declare(
        self, step: str | None, inputs: list[Port] | None, outputs: list[Port] | None
    ) -> None:
        for direction, ports in ((INPUT, inputs), (OUTPUT, outputs)):
            for port in ports or ():
                self._parameter(step, direction, port.name, True, port)

    def _ports(self, step: str | None, direction: str) -> list[Port]:
        owner: Any = self._run.start
        if step is not None:
            owner = self._steps[step].declared if step in self._steps else None
        return (owner.inputs if direction == INPUT else owner.outputs) or [] if owner else []

    def _connect_declared(self) -> None:
        for step in (None, *self._steps):
            for direction in (INPUT, OUTPUT):
                for port in self._ports(step, direction):
                    target = self.parameter(step, direction, port.name)
                    for source in port.sources or ():
                        found = self._source(source)
                        if found is not None:
                            self._connect(found, target)

    def _source(self, source: str) -> str | None:
        """The port of this name: an output of a step, else an input of the workflow around."""
        step, _, name = source.rpartition("/")
        for direction in (OUTPUT, INPUT):
            known = self._parameters.get((step or None, direction, name, True))
            if known is not None and known.port is not None and (direction == INPUT or step):
                return known.identifier
        return None

    def _describe_parameter(self, parameter: _Parameter) -> None:
        port = parameter.port
        declared = port.type if port is not None else None
        types = [found for word in _words(declared) if (found := _TYPES.get(word))]
        kinds = [kind for kind in parameter.types if not _covered(kind, types)]
        given = port.default if port is not None else None
        self._crate.tell(
            parameter.identifier,
            "FormalParameter",
            name=parameter.name,
            additionalType=[*dict.fromkeys([*types, *kinds])] or ["PropertyValue"],
            conformsTo=reference(FORMAL_PARAMETER),
            alternateName=port.label if port is not None else None,
            description=port.doc if port is not None else None,
            encodingFormat=port.format if port is not None else None,
            valueRequired=not declared.endswith("?") and given is None if declared else None,
            multipleValues=True if declared and "[]" in declared else None,
            defaultValue=None if given is None else _text(given),
        )

    # -- the end -------------------------------------------------------------------

    def close(self) -> tuple[list[str], dict[str, Any]]:
        """Describe all but the workflow itself; returns its types, beside that of a file, and
        what to say of it."""
        self._connect_declared()
        connections: dict[tuple[str | None, str], list[Reference]] = {}
        for number, (source, target) in enumerate(self._connections):
            found = self._crate.tell(
                f"{self._prefix}/connection/{number}",
                "ParameterConnection",
                sourceParameter=reference(source),
                targetParameter=reference(target),
            )
            owner = self._by_id[target]
            connections.setdefault((owner.step, owner.direction), []).append(found)
        places = positions(self._run, self._steps)
        for step in self._steps.values():
            if not step.is_group:
                self._describe_step(step, places, connections)
        for parameter in self._parameters.values():
            self._describe_parameter(parameter)
        if self._parameters:
            self._crate.add(
                FORMAL_PARAMETER, "CreativeWork", name="Bioschemas FormalParameter profile"
            )
        return self._workflow_types(None, connections)

    def _describe_step(
        self,
        step: Step,
        places: dict[str, int],
        connections: dict[tuple[str | None, str], list[Reference]],
    ) -> None:
        declared, name = step.declared, step.name or "unknown step"
        self._crate.tell(
            self.step(step.name)["@id"],
            "HowToStep",
            name=name,
            alternateName=declared.label,
            description=declared.doc,
            position=places.get(step.name),
            text=declared.code,
            workExample=self.tool(step.name),
            connection=connections.get((step.name, INPUT)),
        )
        types: list[str] = ["SoftwareApplication"]
        told: dict[str, Any] = {}
        if step.is_workflow:
            types, told = self._workflow_types(step, connections)
        elif connections.get((step.name, OUTPUT)):
            # Of a subworkflow in which nothing ran.
            told["connection"] = connections[step.name, OUTPUT]
        version = self._about.get("version")
        about = {**self._about, **told}
        if not step.is_workflow:
            about.pop("version", None)
            about["softwareVersion"] = version
        self._crate.tell(
            self.tool(step.name)["@id"],
            types,
            name=name,
            additionalType=declared.type,
            description=declared.doc or declared.label,
            input=self._owned.get((step.name, INPUT)),
            output=self._owned.get((step.name, OUTPUT)),
            softwareRequirements=self._requirements(declared.software),
            **{"mainEntity": self.scripts.get(step.name), **about},
        )

    def _requirements(self, software: list[Software] | None) -> list[Reference]:
        return [self._programs.program(one) for one in software or () if one.kind != "container"]

    def _workflow_types(
        self, owner: Step | None, connections: dict[tuple[str | None, str], list[Reference]]
    ) -> tuple[list[str], dict[str, Any]]:
        """Of the main workflow, or of a step that is one."""
        name, steps = (owner.name, owner.steps) if owner is not None else (None, self._outermost)
        types = ["SoftwareSourceCode", "ComputationalWorkflow", *(["HowTo"] if steps else [])]
        told: dict[str, Any] = {
            "hasPart": [self.tool(step.name) for step in steps if step.ran],
            "step": [self.step(step.name) for step in steps],
            "connection": connections.get((name, OUTPUT), []),
            "programmingLanguage": self._programs.language(),
        }
        if owner is None:
            told |= {
                "input": self._owned.get((None, INPUT)),
                "output": self._owned.get((None, OUTPUT)),
            }
        return types, told


def _words(declared: str | None) -> Iterable[str]:
    """The names of types in a type as CWL writes it."""
    for part in (declared or "").split("|"):
        yield part.strip().partition(" ")[0].rstrip("[]?")


def _covered(kind: str, types: list[str]) -> bool:
    """Whether a parameter of these types may stand for a thing of that kind."""
    if kind in _DATA:
        return kind in types
    return any(found not in _DATA for found in types)


def _text(value: object) -> str:
    found, _ = plain(value)
    return found if isinstance(found, str) else json.dumps(found)
