"""Secrets stay out of the journal: what is declared, and what looks like a credential.

Every task process imports this: `json`, `os` and `re` only, and no pattern is compiled
before a line needs it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from yprov4wms.masking_rules import (
    MASK,
    PASSWORD,
    PLACE,
    RULES,
    TOKEN,
    is_secret,
    kind_of_name,
    named_kinds,
    userinfo,
    without_shapes,
    words,
)

#: A shorter value would be found in innocent text everywhere.
SHORTEST = 4


class Masker:
    """Replaces secrets by ``***``.

    declared: values that are secret wherever they stand, raw, JSON-escaped or URL-quoted.
        Blanks at their ends are no part of them; one that is shorter than 4 characters is
        not taken.
    """

    def __init__(self, declared: Iterable[str] = ()) -> None:
        values = {value.strip() for value in declared}
        values = {value for value in values if len(value) >= SHORTEST}
        self._forms = {form for value in values for form in _forms(value)}
        longest_first = sorted(self._forms, key=lambda form: (-len(form), form))
        self._declared = re.compile("|".join(map(re.escape, longest_first))) if values else None
        self._cores = tuple({_core(value) for value in values})

    def mask_line(self, line: bytes) -> bytes:
        """One JSON object on one line, masked; the same object where there is nothing to mask.

        A journal's own field names and the values that link its events stay as they are.
        """
        residue = line.translate(_FOLD, _DROP).decode("latin-1")
        if residue.startswith(_TASK_RESIDUE):
            residue = residue[len(_TASK_RESIDUE) :]
        if _is_suspect(residue) and _may_hold(line.lower().decode("latin-1")):
            return self._masked(line)
        for core in self._cores:
            if core in line:
                return self._masked(line)
        return line

    def text(self, text: str) -> str:
        """Free text, masked: a command line, an error, a path."""
        # More than once: the mask and what stands around it can make up a declared value anew.
        for _ in range(8):
            masked = self._once(text)
            if masked == text:
                return text
            text = masked
        return MASK

    def _once(self, text: str) -> str:
        text = self._without_declared(text)
        if _may_hold(text.lower()):
            for rule in RULES:
                text = rule(text)
        return text

    def _without_declared(self, text: str) -> str:
        return text if self._declared is None else self._declared.sub(MASK, text)

    def _masked(self, line: bytes) -> bytes:
        try:
            event = json.loads(line)
            masked = self._event(event) if isinstance(event, dict) else self._value(event, "", "")
            return line if masked is event else _dumps(masked)
        except (ValueError, RecursionError):
            return self._by_string(line)

    def _by_string(self, line: bytes) -> bytes:
        """For what `json` does not take, too deep for one: each string masked in its place."""
        text = line.decode("utf-8", "surrogateescape")
        text = re.sub(r'"(?:[^"\\]|\\.)*"', self._string, text, flags=re.S)
        return text.encode("utf-8", "surrogateescape")

    def _string(self, match: re.Match[str]) -> str:
        try:
            text = json.loads(match[0], strict=False)
        except ValueError:
            return f'"{MASK}"'
        masked = self._leaf(text, "")
        return match[0] if masked == text else _encode_ascii(masked)

    def _event(self, event: dict[str, Any]) -> dict[str, Any]:
        """A journal's event, or any other object: then all its keys are a user's."""
        masked = self._ours(event) if isinstance(event.get("kind"), str) else self._free(event, "")
        if masked is event:
            return event
        kept = {key: event[key] for key in _KEPT_AT_TOP if isinstance(event.get(key), str)}
        return masked | kept

    def _ours(self, node: Any) -> Any:
        """What `events` lays out: keys stay, and so do the values that tie events together."""
        if isinstance(node, str):
            return self._leaf(node, "")
        if isinstance(node, list):
            return self._list(node, self._ours)
        if not isinstance(node, dict):
            return node
        named = named_kinds(node)
        changed = {}
        for key, value in node.items():
            if key in _KEPT and not isinstance(value, dict):
                continue
            free = key in _FREE
            masked = self._value(value, named.get(key, ""), key) if free else self._ours(value)
            if masked is not value:
                changed[key] = masked
        return node | changed if changed else node

    def _value(self, node: Any, kind: str, key: str) -> Any:
        """What stands under a user's ``key``, whose name promises a secret of ``kind``."""
        if isinstance(node, str):
            return self._leaf(node, kind)
        if isinstance(node, dict):
            return self._free(node, "" if kind == TOKEN else kind)
        if isinstance(node, list):
            inside = "" if kind == TOKEN and not key.endswith("s") else kind
            return self._list(node, lambda item: self._value(item, inside, key))
        if isinstance(node, bool) or node is None:
            return node
        return MASK if kind in (PASSWORD, PLACE) or repr(node) in self._forms else node

    def _free(self, node: dict[str, Any], inherited: str) -> dict[str, Any]:
        """A mapping of a user's, where what its keys are called counts."""
        named = named_kinds(node)
        result: dict[str, Any] = {}
        same = True
        for key, value in node.items():
            masked = self._value(value, named.get(key) or kind_of_name(key), key)
            if inherited:
                masked = self._value(masked, inherited, key)
            name = self._key(key)
            same = same and masked is value and name == key
            while name in result:
                name += "*"
            result[name] = masked
        return node if same else result

    def _list(self, node: list[Any], mask: Callable[[Any], Any]) -> list[Any]:
        """A list; in an argument vector, what follows ``--password`` is one."""
        result = [mask(item) for item in node]
        for index, (option, value) in enumerate(pairwise(node), start=1):
            if isinstance(option, str) and isinstance(value, str):
                named = option[:1] == "-" and value[:1] != "-" and not re.search(r"[=\s]", option)
                kind = kind_of_name(option) if named else ""
                result[index] = self._leaf(value, kind) if kind else result[index]
        changed = any(new is not old for new, old in zip(result, node, strict=True))
        return result if changed else node

    def _leaf(self, text: str, kind: str) -> str:
        masked = MASK if kind and is_secret(text, kind) else self.text(text)
        # JSON's escapes can spell a declared value that the text does not: \n and "ame".
        if self._declared is not None and self._declared.search(_encode(masked)):
            masked = MASK
        return text if masked == text else masked

    def _key(self, key: str) -> str:
        """A user's key is masked only for what it holds itself."""
        masked = self._without_declared(key)
        if self._declared is not None and self._declared.search(_encode(masked)):
            masked = MASK
        return without_shapes(masked) if _may_hold(masked.lower()) else masked


def declared_from_environment(names: Iterable[str]) -> list[str]:
    """Values of the environment variables that are named here or by ``YPROV_SECRETS``.

    ``YPROV_SECRETS`` is a list of names, with commas or blanks between them.
    """
    more = os.environ.get("YPROV_SECRETS", "").replace(",", " ").split()
    values = (os.environ.get(name) for name in (*names, *more))
    return list(dict.fromkeys(value for value in values if value))


def without_userinfo(url: str) -> str:
    """A URL without the ``user:password@`` in it."""
    return userinfo().sub("://", url) if "@" in url else url


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_encode_ascii = json.JSONEncoder(separators=(",", ":")).encode


def _dumps(value: Any) -> bytes:
    try:
        return _encode(value).encode()
    except UnicodeEncodeError:
        # Only an escape can carry a lone surrogate.
        return _encode_ascii(value).encode()


#: Fields of `events` whose values link one event to another, or that only the schema's own
#: values may fill: with one masked, the journal could not be read back.
_KEPT = words(
    "kind time writer run task sha256 step depends_on child parent status type "
    "began finished started ended"
)
_KEPT_AT_TOP = words("run task writer sha256")

#: Fields of `events` that hold what users named.
_FREE = words("attributes config parameters resources results value wildcards")

#: Without one of these, lower-cased, a text holds nothing that the rules below know.
_HINTS = words(
    "passw pwd passphrase secret token key credential authoriz bearer cookie "
    "akia asia aiza eyj xox hf_ glpat- github_pat_ ghp_ gho_ ghs_ ghu_ ghr_ "
    "curl wget mysql sshpass"
)


def _may_hold(low: str) -> bool:
    return (
        any(word in low for word in _HINTS)
        # ``task-started`` is no hint.
        or low.count("sk-") > low.count("task-")
        or ("://" in low and ("@" in low or "sig" in low))
    )


def _is_suspect(residue: str) -> bool:
    """Whether a hint may have left this; in each line of a journal: no generator, no `any`."""
    for word in _RESIDUES:
        if word in residue:
            for hint in _GATES.get(word, (word,)):
                if hint in residue:
                    return True
    return False


# To look for each hint in a line of 400 bytes takes 7 us. With case folded, and digits,
# punctuation and the letters that tell hints least apart dropped, a quarter of the line is
# left; what is left of a hint that was in the line is in there still.
_FOLD = bytes(range(256)).lower()
_DROP = bytes(byte for byte in range(256) if chr(byte).lower() not in "afghijklnoprstuvwxyz-_@")


def _residue(hint: str) -> str:
    return hint.encode().translate(_FOLD, _DROP).decode("latin-1")


_RESIDUES = [_residue(hint) for hint in sorted((*_HINTS, "sk-", "@", "sig="))]
#: Some rare letters, and the residues that need not be looked for without them.
_GATES = {gate: [word for word in _RESIDUES if gate in word] for gate in ("gh", "x", "y", "z")}
_RESIDUES = [word for word in _RESIDUES if not any(gate in word for gate in _GATES)] + [*_GATES]
_TASK_RESIDUE = _residue('{"kind":"task-')


def _forms(value: str) -> set[str]:
    """The ways in which text spells a value: as it is, for JSON, in a URL, in a shell."""
    quoted = _quote(value)
    urls = {quoted, quoted.replace("%2F", "/"), quoted.replace("%20", "+")}
    lower = {re.sub("%..", lambda match: match[0].lower(), form) for form in urls}
    shells = {value.replace("'", "'\"'\"'"), value.replace("'", "'\\''")}
    return {value, _encode(value)[1:-1], _encode_ascii(value)[1:-1]} | urls | lower | shells


def _quote(value: str) -> str:
    # ``urllib.parse`` would cost every task process its import.
    plain = _UNQUOTED.encode()
    return "".join(
        chr(byte) if byte in plain else f"%{byte:02X}"
        for byte in value.encode("utf-8", "surrogatepass")
    )


_UNQUOTED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.~-"


def _core(value: str) -> bytes:
    """The longest part of a value that each of its forms spells alike."""
    runs: list[str] = re.findall(f"[{_UNQUOTED}]*", value)
    return max(runs, key=len).encode()
