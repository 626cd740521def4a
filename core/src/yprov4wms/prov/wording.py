"""A child's attributes in the words of the document around it: names, prefixes, values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from yprov4wms.events import Status
from yprov4wms.prov import foreign
from yprov4wms.prov.foreign import Record
from yprov4wms.prov.values import local_name, string
from yprov4wms.prov.vocabulary import (
    ATTRIBUTES,
    ELEMENTS,
    PREFIX_OF,
    PREFIXES,
    RELATIONS,
    TIMED,
    Level,
    Link,
)

#: What an activity can have come to.
RAN = (Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.RUNNING, Status.CACHED)

#: Absolute, with a separator at its end: what a prefix may stand for.
_NAMESPACE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x1f]*[#/:]")
_TIMES = ("prov:startTime", "prov:endTime")
#: Names whose values decide what becomes of them.
_BY_VALUE = ("yprov4wfs:level", "yprov4wfs:status", "yprov4wms:link")


class Wording:
    """Says a child's attributes anew; ``prefixes`` are what its names need.

    own: the prefix of the child's records. known: what its own prefixes stand for.
    element: gives the new identifier of one of its elements. ``repairs`` counts, in words,
    what could not stand as it was.
    """

    def __init__(
        self,
        own: str,
        known: dict[str, str],
        element: Callable[[str], str | None],
        repairs: Counter[str],
    ) -> None:
        self.prefixes: dict[str, str] = {}
        #: New names that units and methods of figures have.
        self.figures: set[str] = set()
        self.repairs = repairs
        self._own = own
        self._known = known
        self._element = element
        self._names: dict[str, str] = {}
        #: By section, names that are the same whatever their value.
        self._fixed: dict[str, dict[str, str]] = {
            section: {"prov:label": "prov:label"} for section in (*ELEMENTS, *RELATIONS)
        }
        self._types: dict[str, str] = {}

    def attributes(self, section: str, values: Record) -> dict[str, str]:
        """All attributes of an element, as JSON text by their new names."""
        found: dict[str, str] = {}
        fixed = self._fixed[section]
        for name, value in values.items():
            same = fixed.get(name)
            if same is None or same in found:
                self.attribute(found, section, name, value)
            elif type(value) is str:
                found[same] = string(value)
            elif (
                type(value) is dict
                and len(value) == 2
                and (number := foreign.number(value)) is not None
            ):
                found[same] = number
            else:
                self.attribute(found, section, name, value)
        return found

    def attribute(self, found: dict[str, str], section: str, name: str, value: Any) -> None:
        """Add an attribute of an element, or of a relation, as it may stand there."""
        if name in ("prov:label", "prov:type"):
            plain, others = foreign.picked(value)
            if plain is None:
                self.put(found, f"yprov4wms:prov_{name[5:]}", value)
            else:
                found[name] = self._type(plain) if name == "prov:type" else string(plain)
                self._further(found, name, others)
        elif name == "prov:value" and section == "entity" and type(value) is list and value:
            first, *others = value  # an entity has one (PROV-DM 5.7.2.5)
            self.put(found, name, first)
            self._further(found, name, others)
        elif (section in ELEMENTS and name in _TIMES) or (section in TIMED and name == "prov:time"):
            self._time(found, section, name, value)
        else:
            fixed = self._fixed[section]
            new = fixed.get(name)
            if new is None:
                new = self._attribute_name(section, name, value)
                if name not in _BY_VALUE:
                    fixed[name] = new
                    if new.startswith("yprov4wms:") and new.endswith(("_unit", "_method")):
                        self.figures.add(new)
            self.put(found, new, value)

    def _time(self, found: dict[str, str], section: str, name: str, value: Any) -> None:
        plain, others = foreign.picked(value)
        moment = foreign.time(plain) if section not in ("entity", "agent") else None
        if moment is None or plain is None:
            self.put(found, f"yprov4wms:prov_{name[5:]}", value)
            return
        found[name] = string(moment)
        if not foreign.is_exact(plain):
            self.put(found, f"yprov4wms:prov_{name[5:]}", plain)
        self._further(found, name, others)

    def _further(self, found: dict[str, str], name: str, others: list[Any]) -> None:
        if others:
            self.put(found, f"yprov4wms:further_{name[5:]}", others)

    def _attribute_name(self, section: str, name: str, value: Any) -> str:
        if name.startswith("prov:"):
            known = ATTRIBUTES.get(section, ())
            return name if name in known else f"yprov4wms:{local_name(f'prov_{name[5:]}')}"
        legal = True
        if name == "yprov4wfs:level":
            legal = section == "activity" and value in list(Level)
        elif name == "yprov4wfs:status":
            legal = value in list(RAN if section == "activity" else Status)
        elif name == "yprov4wms:link":
            legal = section in ("wasInformedBy", "wasInfluencedBy") and value in list(Link)
        return self.name(name) if legal else f"yprov4wms:original_{name.partition(':')[2]}"

    def put(self, found: dict[str, str], name: str, value: Any) -> None:
        """Add an attribute under a new name, or another where there is one of that name."""
        legal = foreign.value(value, self._reference, self.repairs)
        if legal is None:
            self.repairs["attribute without a value: left out"] += 1
        else:
            while name in found:
                name += "_"
            found[name] = legal

    def name(self, name: str) -> str:
        """A qualified name under a prefix that means the same in the whole document."""
        known = self._names.get(name)
        if known is None:
            prefix, _, local = name.partition(":")
            uri = self._known.get(prefix, "")
            usable = _NAMESPACE.fullmatch(uri) is not None
            if not local:
                known = f"yprov4wms:{local_name(name)}"
            elif prefix in PREFIXES and (prefix in ("prov", "xsd") or not usable):
                # Consumers go by the prefix, and producers bind it to anything.
                known = f"{prefix}:{local_name(local)}"
            elif uri in PREFIX_OF:
                known = f"{PREFIX_OF[uri]}:{local_name(local)}"
            elif usable:
                ours = f"{self._own}_{local_name(prefix)}"
                self.prefixes[ours] = uri
                known = f"{ours}:{local_name(local)}"
            else:
                known = f"yprov4wms:{local_name(f'{prefix}_{local}')}"
            self._names[name] = known
            if local_name(local or name) != (local or name):
                self.repairs["name that PROV-JSON's tools do not take: changed"] += 1
        return known

    def _reference(self, name: str) -> str:
        """A qualified name in a value, which may be that of an element."""
        return self._element(name) or self.name(name)

    def _type(self, plain: str) -> str:
        found = self._types.get(plain)
        if found is None:
            is_name = foreign.TYPE_NAME.fullmatch(plain)
            found = self._types[plain] = string(self.name(plain) if is_name else plain)
        return found
