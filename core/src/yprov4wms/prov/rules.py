"""The rules that a document keeps, and what checks them: ``yprov4wms validate``.

They are those by which prov 1.5 to 3.2 read a document to the same records, and yProv's
service, store and explorer show all of it.
"""

from __future__ import annotations

import msgspec

from yprov4wms.prov._rules import scan
from yprov4wms.prov._rules.scan import load
from yprov4wms.prov._rules.scope import Scope

__all__ = ["RULES", "VERSION", "Problem", "check", "kept", "load"]

#: Of the rules: one more whenever a document that kept them may break one by now.
VERSION = 2


class Problem(msgspec.Struct, frozen=True, gc=False):
    """One broken rule.

    rule: a key of `RULES`.
    where: section and identifier, with the bundle or the attribute; a line and byte in
        what is not JSON.
    message: what is wrong and what to do.
    """

    rule: str
    where: str
    message: str


def check(content: bytes) -> list[Problem]:
    """Every broken rule of a PROV-JSON document, in the document's bundles as well.

    Never raises for what ``content`` holds. A document that cannot be parsed has one problem.
    """
    problems: list[Problem] = []

    def report(rule: str, where: str, message: str) -> None:
        problems.append(Problem(rule, where, message))

    try:
        for path in scan.duplicate_keys(content):
            report("duplicate-key", path, "readers keep one of them and lose the others; remove it")
        Scope(report, scan.members(content)).check()
    except scan.NotAnObjectError as error:
        return [Problem("not-an-object", "document", f"{error}: PROV-JSON is an object")]
    except scan.MalformedError as error:
        return [Problem("not-json", error.where, str(error))]
    return problems


def kept(content: bytes) -> int | None:
    """The version of the rules if a document keeps them all, for an event to tell; else None."""
    return None if check(content) else VERSION


#: Each rule in a sentence, with where it comes from: the project's design (section 5),
#: PROV-JSON (W3C submission, 2013), PROV-DM, PROV-CONSTRAINTS.
RULES: dict[str, str] = {
    # -- JSON
    "not-json": "The document is JSON in UTF-8, without escapes that are no characters "
    "(PROV-JSON; RFC 8259)",
    "not-an-object": "The document, each section, each bundle and each record is an object "
    "(PROV-JSON)",
    "duplicate-key": "No key stands twice in one object (design 5: one object per id; RFC 8259 4)",
    "unknown-section": "The document has PROV-JSON's sections only: readers stop at @context "
    "and the like (PROV-JSON)",
    "nested-bundle": "No bundle lies in a bundle (PROV-DM 5.4.1)",
    "several-objects": "An identifier has one object, not an array of them (design 5)",
    # -- prefixes
    "bad-prefix": "A prefix is a name, and not _ (PROV-JSON, namespaces)",
    "undeclared-prefix": "Every prefix of an identifier, an attribute, a type or an end is "
    "declared (design 5; PROV-DM 5.7.4)",
    "bad-namespace": "A namespace is an absolute URI that ends in #, / or : (design 5)",
    "reserved-prefix": "prov and xsd stand for their own namespaces (PROV-JSON, namespaces)",
    "ecosystem-prefix": "yprov4wfs, yprov, provml, dcterms and yprov4wms stand for the namespaces "
    "that the ecosystem knows them by (design 5)",
    "bundle-prefix": "A bundle does not redefine the prefix of its own identifier: readers then "
    "rename the bundle (design 5; PROV-DM 5.4.1)",
    "run-namespace": "A workflow run's own namespace is urn:uuid:<run id># (design 5)",
    # -- identifiers
    "bad-identifier": "Local identifiers are [A-Za-z_][A-Za-z0-9_.-]* without a final dot "
    "(design 5)",
    "bad-attribute-name": "Attributes have local names of the same form (design 5; PROV-DM 5.7.5)",
    "entity-and-activity": "Nothing is both an entity and an activity (PROV-CONSTRAINTS 55)",
    "duplicate-relation": "A relation's identifier is unique over all sections "
    "(design 5; PROV-CONSTRAINTS 53, 54)",
    "bundle-entity": "An entity of the document stands for each bundle (design 5; PROV-DM 5.4.2)",
    # -- relations
    "missing-end": "A relation has both its ends, each one identifier; a start or end may have its "
    "starter or ender alone (design 5; PROV-DM 5.1.6)",
    "undeclared-end": "Every end of a relation is declared in its bundle or document (design 5)",
    "wrong-end": "Every end is of the kind that PROV gives it (PROV-DM 5; PROV-CONSTRAINTS 50)",
    "bare-relation": "specializationOf, alternateOf, hadMember and mentionOf are their ends alone: "
    "they have no identifier and no attributes (PROV-DM 5.5, 5.6)",
    # -- values
    "bad-label": "An element has one prov:label, a plain string (design 5; PROV-DM 5.7.2.1)",
    "bad-type": "An element has one prov:type, a plain string (design 5; PROV-DM 5.7.2.4)",
    "several-values": "An entity has one prov:value (PROV-DM 5.7.2.5)",
    "null-value": "No value is null: what is unknown is left out (design 2)",
    "bare-number": 'Numbers are {"$": "<string>", "type": ...} (design 5)',
    "number-type": "Numbers are xsd:int, xsd:long or xsd:double (design 5)",
    "typed-boolean": "true and false stand bare (design 5)",
    "qname-type": "Qualified names are typed prov:QUALIFIED_NAME, never xsd:QName (design 5)",
    "nested-value": "A value is no object but a literal, and no array of arrays (PROV-JSON)",
    "bad-literal": "A literal has a string and a type or language, and its string is one of the "
    "type's (PROV-JSON; PROV-DM 5.7.3)",
    "bad-time": "Times are YYYY-MM-DDThh:mm:ss.ffffff+00:00 (design 5)",
    "unknown-prov-attribute": "Attributes under prov are PROV-DM's, not PROV-O's (PROV-DM 5.7.2)",
    "end-before-start": "No activity ends before it starts (PROV-CONSTRAINTS 30)",
    # -- runs
    "bad-level": 'yprov4wfs:level is "0" (workflow), "1" (task), "2" (ML run) or "3" (ML context), '
    "of activities, as their type says (design 5); analytics4yprov:level is a bare number",
    "no-root": 'An activity has level "0" or, in an ML run\'s own document, "2" (design 5)',
    "bad-status": "yprov4wfs:status is one of the statuses that runs and tasks have (design 5)",
    "never-ran": "What never ran is a plan with a status, what ran is an activity (design 5)",
    "task-plan": "The plan of a task that never ran is derived from its step's (design 5)",
    "attempt-plan": "An attempt is associated with the plan that it followed (design 5; "
    "PROV-DM 5.3.3)",
    "plan-type": "A plan is an entity of type prov:Plan (PROV-DM 5.3.3)",
    "outside": "Every attempt lies in a workflow run (part-of), and in a workflow's document every "
    "ML run in an attempt (nested) (design 5)",
    "unfinished": "In a completed run no attempt is running, or has a status and no end (design 2)",
    "bad-link": "yprov4wms:link is depends-on, part-of, retry-of or nested, on wasInformedBy or "
    "wasInfluencedBy (design 5)",
    "missing-link": "wasInformedBy of runs and attempts says why (design 5)",
    "nested-agent": "A nested run has an agent of the attempt or run around it (design 5)",
    "nested-document": "The attempt around a nested run generated that run's document (design 5)",
    "figure": "A figure has both a unit and a method (design 6)",
    # -- versions and connectivity
    "generated-twice": "An entity is generated once, but for activities one inside the other "
    "(design 5; PROV-CONSTRAINTS 24)",
    "outer-time": "Of several generations only the innermost has a time (design 5)",
    "member-generation": "A member of a generated directory that is used alone has a generation "
    "of its own (design 5)",
    "unconnected": "Every element is tied to the run by relations that the explorer draws "
    "(design 5)",
}
