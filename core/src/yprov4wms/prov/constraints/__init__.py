"""Whether a document is valid by W3C PROV-CONSTRAINTS (Recommendation, 2013-04-30).

PROV-JSON, PROV-N and PROV-XML are read by readers of our own: the prov library's objects
cannot tell an argument that is unknown from one that there is not. Each of a document's
instances (what stands at its top, and each bundle) is checked by itself.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from yprov4wms.prov.constraints import (
    advice,
    impossible,
    ordering,
    read_json,
    read_provn,
    read_xml,
    uniqueness,
)
from yprov4wms.prov.rules import Problem

__all__ = ["ADVICE", "CLOCK_TOLERANCE", "CONSTRAINTS", "Form", "Verdict", "check", "form_of"]

#: Seconds that clocks may differ by before advice is given.
CLOCK_TOLERANCE = 1.0


class Form(StrEnum):
    """The formats that are read, each by its W3C document."""

    JSON = "PROV-JSON"
    PROVN = "PROV-N"
    XML = "PROV-XML"


class Verdict(msgspec.Struct, frozen=True):
    """What a check found.

    problems: what makes the document invalid, each by a key of `CONSTRAINTS`.
    advice: what is only odd, each by a key of `ADVICE`.
    """

    problems: list[Problem]
    advice: list[Problem]


_READERS = {Form.JSON: read_json.read, Form.PROVN: read_provn.read, Form.XML: read_xml.read}


def form_of(content: bytes) -> Form:
    """The format of a document, by its first character; what is none of them is PROV-JSON."""
    start = content[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"<", b"\xff\xfe", b"\xfe\xff")):
        return Form.XML
    return Form.PROVN if start.startswith((b"document", b"//", b"/*")) else Form.JSON


def check(content: bytes, tolerance: float = CLOCK_TOLERANCE) -> Verdict:
    """The constraints that a document breaks, and advice.

    tolerance: seconds by which clocks may contradict the order of events.

    Never raises for what ``content`` holds. A document that cannot be read has a problem; what
    stands before the place where reading stopped is checked.
    """
    problems: list[Problem] = []
    told: list[Problem] = []

    def report(rule: str, where: str, message: str) -> None:
        problems.append(Problem(rule, where, message))

    def advise(rule: str, where: str, message: str) -> None:
        told.append(Problem(rule, where, message))

    for instance in _READERS[form_of(content)](content, report):
        uniqueness.check(instance, report)
        impossible.check(instance, report)
        ordering.check(instance, report)
        advice.check(instance, tolerance, advise)
    return Verdict(problems, told)


#: What makes a document invalid, in a sentence. A number is that of PROV-CONSTRAINTS.
CONSTRAINTS: dict[str, str] = {
    # -- reading
    "not-json": "The document is JSON in UTF-8 (PROV-JSON; RFC 8259)",
    "not-an-object": "The document, each section, each bundle and each record is an object "
    "(PROV-JSON)",
    "duplicate-key": "No key stands twice in one object (RFC 8259 4)",
    "nested-bundle": "No bundle lies in a bundle (PROV-DM 5.4.1)",
    "malformed": "The document can be read as what it is (PROV-N; PROV-XML; PROV-JSON)",
    "incomplete": "No statement lacks an argument that it must have (PROV-DM 5)",
    # -- uniqueness
    "constraint-22": "key-object: an activity has one start and one end",
    "constraint-23": "key-properties: statements of one identifier say the same",
    "constraint-24": "unique-generation: an activity generates an entity once",
    "constraint-25": "unique-invalidation: an activity invalidates an entity once",
    "constraint-26": "unique-wasStartedBy: an activity starts another once",
    "constraint-27": "unique-wasEndedBy: an activity ends another once",
    "constraint-28": "unique-startTime: an activity starts when its wasStartedBy says",
    "constraint-29": "unique-endTime: an activity ends when its wasEndedBy says",
    "unique-mention": "An entity mentions one entity of one bundle (PROV-LINKS)",
    # -- order
    "constraint-42": "derivation-generation-generation-ordering: what an entity is derived from "
    "was generated before it, in the order that constraints 30 to 49 make",
    # -- impossibility
    "constraint-51": "impossible-unspecified-derivation-generation-use: a derivation that names "
    "its generation or usage names its activity",
    "constraint-52": "impossible-specialization-reflexive: no entity specializes itself",
    "constraint-53": "impossible-property-overlap: relations of two kinds have two identifiers",
    "constraint-54": "impossible-object-property-overlap: no element has a relation's identifier",
    "constraint-55": "entity-activity-disjoint: nothing is both an entity and an activity, as it "
    "is declared or as statements use it (50)",
    "constraint-56": "membership-empty-collection: no prov:EmptyCollection has members",
}

#: What is only odd, in a sentence.
ADVICE: dict[str, str] = {
    "clock-order": "Clocks agree with the order of events",
    "undeclared": "What statements name is declared",
    "undeclared-prefix": "Every prefix is declared",
    "dangling-file": "A file is used, made, held or derived",
    "mixed-units": "Figures of one name have one unit",
    "not-checked": "Extensions of PROV are not checked",
}
