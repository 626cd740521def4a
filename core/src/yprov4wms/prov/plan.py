"""The plan: the workflow, its steps, their ports and software, as PROV entities."""

from __future__ import annotations

from typing import Any

from yprov4wms.events import Port, Software, StepDeclared
from yprov4wms.prov import attributes as attrs
from yprov4wms.prov.names import Names
from yprov4wms.prov.values import attributes
from yprov4wms.prov.vocabulary import Link, Type
from yprov4wms.prov.writer import ProvJsonWriter
from yprov4wms.run import Run

DEPENDS_ON = f'"yprov4wms:link":"{Link.DEPENDS_ON}"'

_SOURCE = f'"yprov4wms:link":"{Link.SOURCE}"'


def steps_before(run: Run) -> dict[str, dict[str, None]]:
    """By step the others whose tasks its own tasks depend on."""
    found: dict[str, dict[str, None]] = {}
    for task in run.tasks.values():
        for upstream in task.depends_on:
            other = run.tasks.get(upstream)
            if other is not None and other.step != task.step and other.step and task.step:
                found.setdefault(task.step, {})[other.step] = None
    return found


class Plan:
    """Writes the plan of a run; a step that only tasks name, when it is first asked for."""

    def __init__(self, writer: ProvJsonWriter, run: Run, names: Names) -> None:
        self._writer = writer
        self._run = run
        self._names = names
        self._steps: dict[str, str] = {}
        self._software: set[str] = set()
        self._before = steps_before(run)

    def write(self) -> None:
        """The workflow, and all steps that were declared or that others depend on."""
        start = self._run.start
        main = start.main_file
        values = {
            "prov:label": start.workflow,
            "prov:type": Type.PLAN,
            "yprov4wms:path": main.path if main else None,
            "yprov4wms:sha256": main.sha256 if main else None,
            "yprov4wms:packed_document": start.packed.path if start.packed else None,
            "yprov4wms:packed_sha256": start.packed.sha256 if start.packed else None,
            **attrs.git(start.git),
            **attrs.keyed("config", start.config, null="null"),
        }
        self._writer.element("entity", self._names.workflow, attributes(values))
        self._ports(self._names.workflow, "", start.inputs, start.outputs)
        for step in self._run.steps.values():
            self._step(step)
        for name in self._before:
            if name not in self._run.steps:
                self._step(StepDeclared(step=name))
        self._connect(self._names.workflow, start.inputs, start.outputs)
        for step in self._run.steps.values():
            self._connect(self._names.step(step.step), step.inputs, step.outputs)

    def step(self, name: str, step: StepDeclared | None = None) -> str:
        """The identifier of a step's plan, which is written when it is first named."""
        identifier = self._steps.get(name)
        if identifier is not None:
            return identifier
        identifier = self._steps[name] = self._names.step(name)
        step = step or self._run.steps.get(name) or StepDeclared(step=name)
        script = step.script
        values = {
            "prov:label": name or "unknown step",
            "prov:type": Type.PLAN,
            "yprov4wfs:type": step.type,
            "yprov4wfs:description": step.doc,
            "yprov4wms:title": step.label,
            "yprov4wms:source": step.source,
            "yprov4wms:line": step.line,
            "yprov4wms:code": step.code,
            "yprov4wms:script": script.path if script else None,
            "yprov4wms:script_sha256": script.sha256 if script else None,
            **attrs.keyed("engine", step.attributes),
        }
        self._writer.element("entity", identifier, attributes(values))
        self._writer.relation("hadMember", self._around(step), identifier)
        self._ports(identifier, name, step.inputs, step.outputs)
        for software in step.software or ():
            self._writer.relation("hadMember", identifier, self.software(software))
        return identifier

    def software(self, software: Software) -> str:
        """The identifier of what a step or an attempt needs, which is written once."""
        identifier = self._names.hashed("software", software.kind, software.name, repr(software))
        if identifier not in self._software:
            self._software.add(identifier)
            head = {"prov:label": software.name, "prov:type": Type.SOFTWARE}
            self._writer.element("entity", identifier, attributes(head | attrs.software(software)))
        return identifier

    def _step(self, step: StepDeclared) -> None:
        identifier = self.step(step.step, step)
        for upstream in dict.fromkeys([*(step.depends_on or ()), *self._before.get(step.step, ())]):
            self._writer.relation("wasInfluencedBy", identifier, self.step(upstream), DEPENDS_ON)

    def _around(self, step: StepDeclared) -> str:
        """The plan of which a step is a part; the workflow, if steps contain one another."""
        met, around = {step.step}, step.parent
        while around:
            if around in met:
                return self._names.workflow
            met.add(around)
            declared = self._run.steps.get(around)
            around = declared.parent if declared else None
        return self.step(step.parent) if step.parent else self._names.workflow

    def _ports(
        self, owner: str, step: str, inputs: list[Port] | None, outputs: list[Port] | None
    ) -> None:
        for direction, ports in (("input", inputs), ("output", outputs)):
            for port in ports or ():
                identifier = self._port(owner, direction, port.name)
                values: dict[str, Any] = {
                    "prov:label": f"{step}/{port.name}" if step else port.name,
                    "prov:type": Type.PORT,
                    "yprov4wms:port": port.name,
                    "yprov4wms:direction": direction,
                    "yprov4wms:port_type": port.type,
                    "yprov4wms:default": port.default,
                    "yprov4wms:value_from": port.value_from,
                    "yprov4wms:format": port.format,
                    "yprov4wms:title": port.label,
                    "yprov4wfs:description": port.doc,
                }
                self._writer.element("entity", identifier, attributes(values))
                self._writer.relation("hadMember", owner, identifier)

    def _connect(self, owner: str, inputs: list[Port] | None, outputs: list[Port] | None) -> None:
        for direction, ports in (("input", inputs), ("output", outputs)):
            for port in ports or ():
                for source in port.sources or ():
                    found = self._source(source)
                    if found is not None:
                        identifier = self._port(owner, direction, port.name)
                        self._writer.relation("wasInfluencedBy", identifier, found, _SOURCE)

    def _source(self, source: str) -> str | None:
        """The port of this name: an output of a step, else an input of the workflow around."""
        step, _, port = source.rpartition("/")
        declared = self._run.steps.get(step) if step else None
        inputs = declared.inputs if declared else None if step else self._run.start.inputs
        for direction, ports in (
            ("output", declared.outputs if declared else None),
            ("input", inputs),
        ):
            if any(known.name == port for known in ports or ()):
                owner = self._names.step(step) if step else self._names.workflow
                return self._port(owner, direction, port)
        return None

    def _port(self, owner: str, direction: str, port: str) -> str:
        """Of the step or workflow whose plan has the identifier ``owner``."""
        return self._names.hashed("port", owner, direction, port)
