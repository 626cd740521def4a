"""Secrets stay out of the journal: what is declared, and what looks like a credential.

Every task process imports this: `json`, `os` and `re` only, and no pattern is compiled
before a line needs it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from functools import cache
from itertools import pairwise
from typing import Any

MASK = "***"

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
        for word in _RESIDUES:
            if word in residue and (word not in _GATES or any(w in residue for w in _GATES[word])):
                if _may_hold(line.lower().decode("latin-1")):
                    return self._masked(line)
                break
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
            for rule in _RULES:
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
        named = _named_kinds(node)
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
            return self._free(node, "" if kind == _TOKEN else kind)
        if isinstance(node, list):
            inside = "" if kind == _TOKEN and not key.endswith("s") else kind
            return self._list(node, lambda item: self._value(item, inside, key))
        if isinstance(node, bool) or node is None:
            return node
        return MASK if kind in (_PASSWORD, _PLACE) or repr(node) in self._forms else node

    def _free(self, node: dict[str, Any], inherited: str) -> dict[str, Any]:
        """A mapping of a user's, where what its keys are called counts."""
        named = _named_kinds(node)
        result: dict[str, Any] = {}
        same = True
        for key, value in node.items():
            masked = self._value(value, named.get(key) or _kind(key), key)
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
                kind = _kind(option) if named else ""
                result[index] = self._leaf(value, kind) if kind else result[index]
        changed = any(new is not old for new, old in zip(result, node, strict=True))
        return result if changed else node

    def _leaf(self, text: str, kind: str) -> str:
        masked = MASK if kind and _is_secret(text, kind) else self.text(text)
        # JSON's escapes can spell a declared value that the text does not: \n and "ame".
        if self._declared is not None and self._declared.search(_encode(masked)):
            masked = MASK
        return text if masked == text else masked

    def _key(self, key: str) -> str:
        """A user's key is masked only for what it holds itself."""
        masked = self._without_declared(key)
        if self._declared is not None and self._declared.search(_encode(masked)):
            masked = MASK
        return _without_shapes(masked) if _may_hold(masked.lower()) else masked


def declared_from_environment(names: Iterable[str]) -> list[str]:
    """Values of the environment variables that are named here or by ``YPROV_SECRETS``.

    ``YPROV_SECRETS`` is a list of names, with commas or blanks between them.
    """
    more = os.environ.get("YPROV_SECRETS", "").replace(",", " ").split()
    values = (os.environ.get(name) for name in (*names, *more))
    return list(dict.fromkeys(value for value in values if value))


def without_userinfo(url: str) -> str:
    """A URL without the ``user:password@`` in it."""
    return _userinfo().sub("://", url) if "@" in url else url


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_encode_ascii = json.JSONEncoder(separators=(",", ":")).encode


def _dumps(value: Any) -> bytes:
    try:
        return _encode(value).encode()
    except UnicodeEncodeError:
        # Only an escape can carry a lone surrogate.
        return _encode_ascii(value).encode()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Fields of `events` whose values link one event to another, or that only the schema's own
#: values may fill: with one masked, the journal could not be read back.
_KEPT = _words(
    "kind time writer run task sha256 step depends_on child parent status type "
    "began finished started ended"
)
_KEPT_AT_TOP = _words("run task writer sha256")

#: Fields of `events` that hold what users named.
_FREE = _words("attributes config parameters resources value wildcards")

#: Without one of these, lower-cased, a text holds nothing that the rules below know.
_HINTS = _words(
    "passw pwd passphrase secret token key credential authoriz bearer cookie "
    "akia asia aiza eyj xox hf_ glpat- github_pat_ ghp_ gho_ ghs_ ghu_ ghr_"
)


def _may_hold(low: str) -> bool:
    return (
        any(word in low for word in _HINTS)
        # ``task-started`` is no hint.
        or low.count("sk-") > low.count("task-")
        or ("://" in low and ("@" in low or "sig" in low))
    )


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

# What kind of secret a name can promise.
_PASSWORD = "password"
_SECRET = "secret"
#: Often the path of a secret, which is none: ``PWD``, ``GOOGLE_APPLICATION_CREDENTIALS``.
_PLACE = "place"
#: In machine learning mostly a piece of text: secret only where the value looks like it.
_TOKEN = "token"

#: A name that ends so tells about a secret.
_ABOUT = _words(
    "count enabled endpoint env expires expiry file len length max min name path policy prompt "
    "required stdin ttl type uri url"
)
_KEYS = _words("access account api auth encryption master private secret session signing storage")
_TOKEN_ENDS = _words("dev prod production read ro rw staging test value write")
_TOKEN_LISTS = _words("access api auth bearer refresh")
_TEXT_TOKENS = _words(
    "additional assistant audio bad begin blank bos boi boa cls completion content decoder doc "
    "document empty end eoa eoi eos eot fill fim first forced image input last mask max middle "
    "min new next num output pad padding per prefix prev previous prompt query sentence sep "
    "separator sot special start stop sub subword suffix system text think total unk unknown "
    "video vocab word"
)

_kinds: dict[str, str] = {}


def _kind(name: str) -> str:
    """What kind of secret a name promises, empty for none."""
    kind = _kinds.get(name)
    if kind is None:
        if len(_kinds) >= 10_000:
            _kinds.clear()
        kind = _kinds[name] = _kind_of([part.lower() for part in _parts().findall(name)])
    return kind


@cache
def _parts() -> re.Pattern[str]:
    return re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")


def _kind_of(parts: list[str]) -> str:
    if not parts or parts[-1] in _ABOUT:
        return ""
    if any("passw" in part or "passphrase" in part for part in parts):
        return _PASSWORD
    if parts[-1].endswith("pwd") or any(part.startswith("credential") for part in parts):
        return _PLACE
    for before, part in zip(["", *parts], parts, strict=False):
        if part.endswith(("secret", "secrets")) or part in ("authorization", "cookie", "cookies"):
            return _SECRET
        stem = part.removesuffix("s")
        if stem.endswith("key") and (stem.removesuffix("key") or before) in _KEYS:
            return _SECRET
    return _token_kind(parts)


def _token_kind(parts: list[str]) -> str:
    if parts[-1] in _TOKEN_ENDS:
        parts = parts[:-1]
    before, last = ["", "", *parts][-2:]
    if last == "tokens":
        return _TOKEN if before in _TOKEN_LISTS else ""
    if last.endswith("token"):
        return "" if (last.removesuffix("token") or before) in _TEXT_TOKENS else _TOKEN
    return _TOKEN if last == "bearer" else ""


def _named_kinds(node: dict[str, Any]) -> dict[str, str]:
    """Which keys hold a secret that stands beside its name: ``{"name": ..., "value": ...}``."""
    for name, value in (("name", "value"), ("key", "value"), ("envName", "envValue")):
        if value in node and isinstance(node.get(name), str):
            return {value: _kind(node[name])}
    return {}


def _is_secret(value: str, kind: str) -> bool:
    if kind == _TOKEN:
        return _credential().fullmatch(value) is not None
    if kind == _PLACE and _place().fullmatch(value):
        return False
    return value not in ("", MASK)


@cache
def _credential() -> re.Pattern[str]:
    return re.compile(r"(?![+-]?[\d._]+(?:[eE][+-]?\d+)?\Z)[A-Za-z0-9_\-./+=:%~]{8,}", re.A)


@cache
def _place() -> re.Pattern[str]:
    return re.compile(r"(?:/|~/|\.\.?/)[\w./~@{}$*-]*", re.A)


def _without_shapes(text: str) -> str:
    """Without what the credentials of known services look like."""
    return _shapes().sub(MASK, text)


@cache
def _shapes() -> re.Pattern[str]:
    return re.compile(
        r"""
        -----BEGIN[ ][A-Z0-9 ]{0,40}PRIVATE[ ]KEY-----.*?
            (?:-----END[ ][A-Z0-9 ]{0,40}PRIVATE[ ]KEY-----|\Z)
        |(?<![A-Za-z0-9])(?:
            (?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])
            |gh[oprsu]_[A-Za-z0-9]{20,}
            |github_pat_\w{20,}
            |glpat-[\w-]{20,}
            |xox[a-z]-[\w-]{10,}
            |sk-(?:[A-Za-z0-9]{1,10}-){0,3}[A-Za-z0-9]{20,}[\w-]*
            |hf_[A-Za-z0-9]{20,}
            |eyJ[\w-]{6,}\.[\w-]{4,}\.[\w-]*
            |AIza[\w-]{30,}
        )""",
        re.A | re.S | re.X,
    )


def _without_authorization(text: str) -> str:
    """Without the credentials of HTTP headers."""
    header, bearer = _headers()
    text = header.sub(lambda match: match[1] + (match["scheme"] or "") + MASK, text)
    return bearer.sub(r"\1" + MASK, text)


@cache
def _headers() -> tuple[re.Pattern[str], re.Pattern[str]]:
    return (
        re.compile(
            r"""(authorization\\*["']?[ \t]*[:=][ \t]*(?:[bfru]{0,2}\\*["'])?)(?!\*\*\*)(?:
            (?P<scheme>(?:bearer|basic|token|apikey|negotiate)[ \t]+)(?:\*\*\*|[^\s"']+)
            |(?:aws4-hmac-sha256|digest)[ \t][^"'\r\n]+
            |[^\s"']+(?:[ \t]+(?!-)[^\s"']+)?)""",
            re.A | re.I | re.X,
        ),
        # Not "bearer authentication required".
        re.compile(
            r"\b(bearer[ \t]+)(?:(?=[\w.~+/=:-]*\d)[\w.~+/=:-]{8,}|[\w.~+/=:-]{24,})", re.A | re.I
        ),
    )


def _without_assignments(text: str) -> str:
    """Without the values in ``--password x``, ``API_KEY=x``, ``"secret": "x"``..."""
    names, result, done, at = _names(), [""], 0, 0
    while match := names.search(text, at):
        at = match.end()
        before = _name_end().search(text, max(0, match.start() - 80), match.start())
        name = text[before.start() if before else match.start() : match.end("name")]
        kind = _kind(name) if match["set"] or name[0] == "-" else ""
        found = _secret_value(text, at, kind) if kind else None
        if found:
            end, mask = found
            result += text[done:at], mask
            done = at = end
    result.append(text[done:])
    return "".join(result)


@cache
def _names() -> re.Pattern[str]:
    """From the telling word of a name up to its value; ``set`` where that is an assignment."""
    return re.compile(
        r"""(?P<name>(?:passw|pwd|passphrase|secret|token|key|credential|cookie)[\w.-]{0,80}+)
        (?:\\*["']\]?)?
        (?:(?P<set>[ \t]+=[ \t]+|=(?![=>])|[ \t]*=>[ \t]*|[ \t]*:[ \t]+|:(?![/:\s]))
        |(?:,[ \t]*|[ \t]+)(?!-))""",
        re.A | re.I | re.X,
    )


@cache
def _name_end() -> re.Pattern[str]:
    return re.compile(r"[\w.-]+\Z", re.A)


def _secret_value(text: str, at: int, kind: str) -> tuple[int, str] | None:
    """Where the secret that begins at ``at`` ends, and what is to stand there, if it is one."""
    match = _quoted().match(text, at)
    if match:
        quote = match["open"] or match["quote"]
        value = match["escaped"] if match["open"] else match["plain"] + match["tail"]
        end, mask = match.end(), f"{quote}{MASK}{quote}"
    else:
        match = _bare().match(text, at)
        value = match[0] if match else ""
        if kind == _TOKEN:
            value = re.split(r"[&;|<>,)\]}]", value, maxsplit=1)[0]
        elif not _harmless().fullmatch(value):
            value = value.rstrip(",;)]}>")
        end, mask = at + len(value), MASK
    if not _is_secret(value, kind) or _harmless().fullmatch(value):
        return None
    return end, mask


@cache
def _quoted() -> re.Pattern[str]:
    """A value in quotes that are escaped themselves, or in plain ones with what a shell joins."""
    return re.compile(
        r"""(?P<open>\\+["'])(?P<escaped>.{0,4096}?)\\+["'](?=[\s,:;}\])"']|\Z)
        |(?P<quote>["'])(?P<plain>(?:(?!(?P=quote))(?:[^\\]|\\.)){0,4096})(?P=quote)
        (?P<tail>(?:"(?:[^"\\]|\\.){0,4096}"|'[^']{0,4096}'|\\.|[^\s"',;:}\])&|<>\\])*)""",
        re.A | re.S | re.X,
    )


@cache
def _bare() -> re.Pattern[str]:
    return re.compile(
        r"""(?:[^\s"'`\\]|\\[^\n]|"(?=[\w$/+])[^"\n]{0,4096}"|'(?=[\w$/+])[^'\n]{0,4096}')+
        |["'][^\s]*""",
        re.A | re.X,
    )


@cache
def _harmless() -> re.Pattern[str]:
    """What stands for a value: a type, nothing, a shell variable, a Snakemake placeholder."""
    return re.compile(
        r"(?:str|int|bool|bytes|string|[Nn]one|null|[Tt]rue|[Ff]alse)[,;)]*"
        r"|\$[A-Z][A-Z0-9_]*|\$\{[A-Z][A-Z0-9_]*\}|\$\(.*|\{[a-z]+(?:\.\w+|\[\w+\])+\}"
        r"|os\.(?:environ|getenv)\b.*",
        re.A | re.S,
    )


def _without_url_secrets(text: str) -> str:
    """Without ``user:password@``, and without what signs a URL."""
    if "://" not in text:
        return text
    return _signature().sub(r"\1" + MASK, _userinfo().sub(f"://{MASK}@", text))


@cache
def _userinfo() -> re.Pattern[str]:
    # A port is no password, and neither is the tag in ``docker://image:tag@sha256:...``. The
    # user alone is a token over HTTP, elsewhere a part of the address (``abfs://container@``).
    return re.compile(
        r"""://(?:[^\s/?\#@:"'\[\]<>]{0,256}:(?!\d{1,5}(?:[/?\#\s"']|\Z))
            (?:[^\s"'/?\#]{0,1024}@|[^\s"'@]{0,1024}@)
        |(?:(?<=http://)|(?<=https://))[^\s/?\#@:"'<>]{1,1024}@)(?!sha\d{3}:)""",
        re.A | re.I | re.X,
    )


@cache
def _signature() -> re.Pattern[str]:
    return re.compile(r"([?&](?:[a-z-]{0,20}signature|sig)=)[\w%+/=~.-]{8,}", re.A | re.I)


_RULES = (_without_shapes, _without_authorization, _without_assignments, _without_url_secrets)


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
