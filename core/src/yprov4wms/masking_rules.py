"""What makes a text a secret: the names that promise one, and the shapes that credentials have."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

MASK = "***"


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What kind of secret a name can promise.
PASSWORD = "password"
SECRET = "secret"
#: Often the path of a secret, which is none: ``PWD``, ``GOOGLE_APPLICATION_CREDENTIALS``.
PLACE = "place"
#: In machine learning mostly a piece of text: secret only where the value looks like it.
TOKEN = "token"

#: A name that ends so tells about a secret.
_ABOUT = words(
    "count enabled endpoint env expires expiry file index len length max min name path policy "
    "prompt rate required seed size stdin ttl type uri url"
)
_KEYS = words("access account api auth encryption master private secret session signing storage")
_TOKEN_ENDS = words("dev prod production read ro rw staging test value write")
_TOKEN_LISTS = words("access api auth bearer refresh")
_TEXT_TOKENS = words(
    "additional assistant audio bad begin blank bos boi boa cls completion content decoder doc "
    "document empty end eoa eoi eos eot fill fim first forced image input last mask max middle "
    "min new next num output pad padding per prefix prev previous prompt query sentence sep "
    "separator sot special start stop sub subword suffix system text think total unk unknown "
    "video vocab word"
)

_kinds: dict[str, str] = {}


def kind_of_name(name: str) -> str:
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
        return PASSWORD
    if parts[-1].endswith("pwd") or any(part.startswith("credential") for part in parts):
        return PLACE
    for before, part in zip(["", *parts], parts, strict=False):
        if part.endswith(("secret", "secrets")) or part in ("authorization", "cookie", "cookies"):
            return SECRET
        stem = part.removesuffix("s")
        if stem.endswith("key") and (stem.removesuffix("key") or before) in _KEYS:
            return SECRET
    return _token_kind(parts)


def _token_kind(parts: list[str]) -> str:
    if parts[-1] in _TOKEN_ENDS:
        parts = parts[:-1]
    before, last = ["", "", *parts][-2:]
    if last == "tokens":
        return TOKEN if before in _TOKEN_LISTS else ""
    if last.endswith("token"):
        return "" if (last.removesuffix("token") or before) in _TEXT_TOKENS else TOKEN
    return TOKEN if last == "bearer" else ""


def named_kinds(node: dict[str, Any]) -> dict[str, str]:
    """Which keys hold a secret that stands beside its name: ``{"name": ..., "value": ...}``."""
    for name, value in (("name", "value"), ("key", "value"), ("envName", "envValue")):
        if value in node and isinstance(node.get(name), str):
            return {value: kind_of_name(node[name])}
    return {}


def is_secret(value: str, kind: str) -> bool:
    if kind == TOKEN:
        return _credential().fullmatch(value) is not None
    if kind == PLACE and _place().fullmatch(value):
        return False
    return value not in ("", MASK)


@cache
def _credential() -> re.Pattern[str]:
    return re.compile(r"(?![+-]?[\d._]+(?:[eE][+-]?\d+)?\Z)[A-Za-z0-9_\-./+=:%~]{8,}", re.A)


@cache
def _place() -> re.Pattern[str]:
    return re.compile(r"(?:/|~/|\.\.?/)[\w./~@{}$*-]*", re.A)


def without_shapes(text: str) -> str:
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
        kind = kind_of_name(name) if match["set"] or name[0] == "-" else ""
        if _cluster().match(name):
            kind = ""  # ``-psecret``: the next word is not its value
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
def _cluster() -> re.Pattern[str]:
    """A one-letter option with its value."""
    return re.compile(
        r"-[A-Za-z](?:passw|pwd|passphrase|secret|token|key|cred|cookie)", re.A | re.I
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
        if kind == TOKEN:
            value = re.split(r"[&;|<>,)\]}]", value, maxsplit=1)[0]
        elif not _harmless().fullmatch(value):
            value = value.rstrip(",;)]}>")
        end, mask = at + len(value), MASK
    if not is_secret(value, kind) or _harmless().fullmatch(value):
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


def _without_tool_passwords(text: str) -> str:
    """Without what these tools take as a password by a short option."""
    user, mysql, sshpass = _tools()
    text = user.sub(r"\1" + MASK, text)
    return sshpass.sub(r"\1" + MASK, mysql.sub(r"\1" + MASK, text))


@cache
def _tools() -> tuple[re.Pattern[str], ...]:
    before, word = (
        r"\b(?:{})\b[^\n;&|]{{0,2000}}?[ \t]",
        r"(?!\*\*\*)(?:\"[^\"\n]+\"|'[^'\n]+'|[^\s\"';&|]+)",
    )
    return (
        re.compile(
            "(" + before.format("curl|wget") + r"(?:-u[ \t]*|-U[ \t]*|--(?:proxy-)?user[ \t=])"
            r"[\"']?[^\s\"':]+:)(?!\*\*\*)[^\s\"';&|]+",
            re.A,
        ),
        re.compile("(" + before.format(r"mysql\w*") + "-p)" + word, re.A),
        re.compile("(" + before.format("sshpass") + r"-p[ \t]*)" + word, re.A),
    )


def _without_url_secrets(text: str) -> str:
    """Without ``user:password@``, and without what signs a URL."""
    if "://" not in text:
        return text
    return _signature().sub(r"\1" + MASK, userinfo().sub(f"://{MASK}@", text))


@cache
def userinfo() -> re.Pattern[str]:
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


RULES = (
    without_shapes,
    _without_authorization,
    _without_assignments,
    _without_tool_passwords,
    _without_url_secrets,
)
