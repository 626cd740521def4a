from __future__ import annotations

import json
import subprocess
import sys
import urllib.parse
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from yprov4wms import events, masking
from yprov4wms.masking import Masker, declared_from_environment, without_userinfo

HEAD: dict[str, Any] = {
    "time": "2026-05-01T10:11:12.123456+00:00",
    "writer": "node017-12345-6373f5c9e8a40",
    "seq": 12,
    "run": "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
}

# Assembled here, so that no scanner takes this file for a leak.
SHAPES = {
    "AWS key": "AKIA" + "IOSFODNN7EXAMPLE",
    "AWS session key": "ASIA" + "IOSFODNN7EXAMPLE",
    "GitHub personal": "ghp_" + "a1B2" * 9,
    "GitHub OAuth": "gho_" + "a1B2" * 9,
    "GitHub server": "ghs_" + "a1B2" * 9,
    "GitHub fine-grained": "github_pat_" + "11ABCDEFG0" + "a1B2_" * 10,
    "GitLab": "glpat-" + "x_Y-" * 5,
    "Slack bot": "xoxb-" + "123456789012-abcdefGHIJKL",
    "Slack app": "xoxa-" + "2-123456789012",
    "OpenAI": "sk-" + "a1B2" * 12,
    "OpenAI project": "sk-proj-" + "a1B2" * 12 + "-x_y",
    "Anthropic": "sk-ant-api03-" + "a1B2" * 12 + "-AA",
    "Hugging Face": "hf_" + "aBcD" * 9,
    "JWT": "eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NSJ9.SflKxwRJ-Sw_5c",
    "Google": "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
    "PEM": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\nIBAAK=\n-----END RSA PRIVATE KEY-----",
    "PEM in JSON": "-----BEGIN " + r"PRIVATE KEY-----\nMIIEow\n-----END PRIVATE KEY-----",
    "half a PEM": "-----BEGIN OPENSSH " + "PRIVATE KEY-----\nb3BlbnNzaC1rZXk",
}


#: What configurations of machine learning hold.
ML: dict[str, Any] = {
    "tokenizer": "bert-base-uncased",
    "tokenizer_name": "openai-community/gpt2",
    "tokenizer_config": {"pad_token": "[PAD]", "unk_token": "<unk>", "eos_token": "endoftext"},
    "max_tokens": 512,
    "num_tokens": 300_000_000,
    "max_new_tokens": "4096",
    "eos_token": "</s>",
    "bos_token": "<s>",
    "pad_token": "[PAD]",
    "pad_token_id": 0,
    "eos_token_id": [2, 32000],
    "additional_special_tokens": ["<image>", "<|im_start|>", "reserved_special"],
    "token_type_ids": [0, 1],
    "token_dropout": 0.1,
    "token_strategy": "longest_first",
    "tokens": ["tokenization", "something"],
    "tokens_per_second": 1234.5,
    "use_auth_token": True,
    "token": None,
    "key": "value",
    "keys": ["input_ids", "attention_mask"],
    "primary_key": "sample_id",
    "sort_keys": "by-date",
    "num_key_value_heads": 8,
    "key_padding_mask": "causal-left",
    "monitor_key": "val/loss",
    "author": "A. Uthor",
    "authority": "example.org",
    "secretary": "S. Ecretary",
    "secretion_rate": "high-low",
    "bypass": "yes",
    "compass": "north",
    "session": "2026-05-01",
    "optimizer": "adamw_torch",
    "learning_rate": 3e-4,
    "seed": 42,
    "model": "sk-learn-model-v1-baseline-run",
    "scheduler": "cosine_with_warmup",
    "cookiecutter": "gh:org/template",
    "hf_hub": "hf_transfer",
    "passes": 3,
}


def line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def masked(value: Any, *declared: str) -> Any:
    return json.loads(Masker(declared).mask_line(line(value)))


def parameters(values: dict[str, Any], *declared: str) -> Any:
    """A user's values, as they come out of an event that carries them."""
    event = {"kind": "task-started", **HEAD, "task": "t", "attempt": 1, "parameters": values}
    result = masked(event, *declared)
    assert {**result, "parameters": values} == event
    return result["parameters"]


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "password", "passwd", "db_password", "dbPassword", "PGPASSWORD", "user.password",
            "MYSQL_PWD", "passphrase", "gpg-passphrase",
        ],
    )  # fmt: skip
    def test_of_passwords_hide_strings_and_numbers(self, name: str) -> None:
        for value in ("x", "a b", 1234, 1.5):
            assert parameters({name: value}) == {name: "***"}

    @pytest.mark.parametrize(
        "name",
        [
            "secret", "client_secret", "clientSecret", "aws_secret_access_key", "secrets",
            "api_key", "apikey", "apiKey", "api-key", "api key", "WANDB_API_KEY", "x-api-key",
            "access_key", "AccessKey", "private_key", "privatekey", "credential", "credentials",
            "authorization", "Proxy-Authorization", "cookie", "Set-Cookie", "session_key",
        ],
    )  # fmt: skip
    def test_of_secrets_hide_strings(self, name: str) -> None:
        assert parameters({name: "x y"}) == {name: "***"}
        for value in ("", None, True):
            assert parameters({name: value}) == {name: value}

    @pytest.mark.parametrize(
        "name",
        [
            "token", "hf_token", "HF_TOKEN", "access_token", "accessToken", "authToken",
            "session_token", "bot_token", "github.token", "api_tokens", "bearer", "token_value",
        ],
    )  # fmt: skip
    def test_of_tokens_hide_what_looks_like_a_credential(self, name: str) -> None:
        assert parameters({name: "abcd-1234_XY"}) == {name: "***"}
        for value in ("</s>", "[PAD]", "<|endoftext|>", "short", "two words", 12345678, "12345678"):
            assert parameters({name: value}) == {name: value}

    def test_above_lists_and_mappings_hide_what_is_below(self) -> None:
        values = {"secrets": {"db": ["x", {"deep": "y"}], "on": True}, "passwords": ["a", 7]}
        assert parameters(values) == {
            "secrets": {"db": ["***", {"deep": "***"}], "on": True},
            "passwords": ["***", "***"],
        }

    def test_beside_the_value(self) -> None:
        values = {
            "env": [
                {"name": "API_KEY", "value": "x"},
                {"key": "db_password", "value": 5},
                {"envName": "MY_SECRET", "envValue": "x"},
                {"name": "HOME", "value": "/home/x"},
            ]
        }
        assert [list(item.values())[1] for item in parameters(values)["env"]] == [
            "***",
            "***",
            "***",
            "/home/x",
        ]

    def test_of_a_parameter_of_an_ml_run(self) -> None:
        for name, value, expected in (("api_key", "x", "***"), ("lr", "x", "x")):
            event = {"kind": "ml-param", **HEAD, "name": name, "value": value}
            assert masked(event) == {**event, "value": expected}

    def test_that_tell_where_a_secret_is_are_no_secret(self) -> None:
        values = {
            "password_file": "/run/secrets/x",
            "secret_name": "prod/db",
            "GOOGLE_APPLICATION_CREDENTIALS": "/home/u/key.json",
            "PWD": "/home/u",
            "token_url": "https://host/oauth",
        }
        assert parameters(values) == values

    @pytest.mark.parametrize("name", ML)
    def test_of_machine_learning_survive(self, name: str) -> None:
        values = {name: ML[name]}
        assert parameters(values) == values

    def test_of_machine_learning_survive_in_a_command(self) -> None:
        for name, value in ML.items():
            command = (
                f"train --{name} {value} {name}={value} {name}: {value} {json.dumps({name: value})}"
            )
            assert Masker().text(command) == command


class TestText:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("mysql --password hunter2 -u me", "mysql --password *** -u me"),
            ("mysql --password=hunter2 -u me", "mysql --password=*** -u me"),
            ("x --db-password 'a b' y", "x --db-password '***' y"),
            ("x --api-key k1 y", "x --api-key *** y"),
            ("x --token abcd1234 y", "x --token *** y"),
            ("java -Djavax.keyStorePassword=x A", "java -Djavax.keyStorePassword=*** A"),
            ("PASSWORD=hunter2 cmd", "PASSWORD=*** cmd"),
            ("a;PASSWORD=hunter2 cmd", "a;PASSWORD=*** cmd"),
            ("export AWS_SECRET_ACCESS_KEY=a/b+c && x", "export AWS_SECRET_ACCESS_KEY=*** && x"),
            ("docker run -e DB_PASSWORD=x img", "docker run -e DB_PASSWORD=*** img"),
            ("sbatch --export=ALL,API_KEY=x", "sbatch --export=ALL,API_KEY=***"),
            ("tokenizer=PASSWORD=x", "tokenizer=PASSWORD=***"),
            ('PASSWORD="a \\" b" cmd', 'PASSWORD="***" cmd'),
            ("PASSWORD='a'\"'\"'b' cmd", "PASSWORD='***' cmd"),
            ('PASSWORD=a"b c"d cmd', "PASSWORD=*** cmd"),
            ("PASSWORD='not closed", "PASSWORD=*** closed"),
            ("SECRET='two\nlines' cmd", "SECRET='***' cmd"),
            ("password: hunter2\nuser: me", "password: ***\nuser: me"),
            ('{"api_key": "x", "user": "me"}', '{"api_key": "***", "user": "me"}'),
            ('{"api_key":"x","user":"me"}', '{"api_key":"***","user":"me"}'),
            ("{'token': 'abcd1234', 'user': 'me'}", "{'token': '***', 'user': 'me'}"),
            (r'"{\"password\": \"a\\\"b\", \"u\": 1}"', r'"{\"password\": \"***\", \"u\": 1}"'),
            ('os.environ["API_KEY"] = "x"', 'os.environ["API_KEY"] = "***"'),
            ("'['curl', '--password', 'x']' failed", "'['curl', '--password', '***']' failed"),
            ("https://h/x?token=abcd1234&page=2", "https://h/x?token=***&page=2"),
            ("AccountName=a;AccountKey=x==;y", "AccountName=a;AccountKey=***"),
            ('curl -H "Authorization: Bearer abc" u', 'curl -H "Authorization: Bearer ***" u'),
            ("curl -H 'authorization: Basic dTpw' u", "curl -H 'authorization: Basic ***' u"),
            ("Authorization: abc", "Authorization: ***"),
            ("Authorization: AWS4-HMAC-SHA256 Credential=a/b, Signature=c", "Authorization: ***"),
            ('{"Authorization": "token abc"}', '{"Authorization": "token ***"}'),
            ("401 with bearer abc.def-123", "401 with bearer ***"),
            ('-H "X-Api-Key: abc" u', '-H "X-Api-Key: ***" u'),
            ("git clone https://me:pw@host/x.git", "git clone https://***@host/x.git"),
            ("git clone https://tok@host/x.git", "git clone https://***@host/x.git"),
            ("postgresql://me:p@w@h:5432/db", "postgresql://***@h:5432/db"),
            ("s3://K:a/b@bucket/x", "s3://***@bucket/x"),
            ("redis://:pw@h:6379", "redis://***@h:6379"),
            ("https://b/k?X-Amz-Signature=0123456789ab&n=1", "https://b/k?X-Amz-Signature=***&n=1"),
            ("https://a.blob/c?sv=1&sig=ab%2Bcdefgh", "https://a.blob/c?sv=1&sig=***"),
        ],
    )  # fmt: skip
    def test_secret_is_masked_and_the_rest_is_not(self, text: str, expected: str) -> None:
        assert Masker().text(text) == expected
        event = {"kind": "task-started", **HEAD, "task": "t", "attempt": 1, "command": text}
        assert masked(event) == {**event, "command": expected}

    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize(
        "around", ["{}", "x {} y", "a={}", "'{}'", "see ({}), or", "/data/{}/x"]
    )
    def test_known_shapes_are_masked_anywhere(self, shape: str, around: str) -> None:
        secret = SHAPES[shape]
        result = Masker().text(around.format(secret))
        assert secret not in result
        assert "***" in result
        assert secret[:12] not in json.dumps(parameters({"note": [around.format(secret)]}))

    @pytest.mark.parametrize(
        "text",
        [
            "bwa mem -t 8 -R '@RG\\tID:A\\tSM:A' ref.fa A.fastq.gz | samtools sort -@ 4 -o A.bam -",
            "samtools sort -@ 4 -o out.bam in.bam && samtools index out.bam",
            "snakemake --cores 8 --use-conda --config key=value tokens=512 --rerun-triggers mtime",
            "snakemake --executor slurm --jobs 100 --default-resources slurm_account=abc mem_mb=4",
            "python t.py --tokenizer bert-base-uncased --max_tokens 512 --eos-token '</s>'",
            "python -m torch.distributed.run --nproc_per_node 4 train.py --key value --keys a,b",
            "t.py --api-key $WANDB_API_KEY --token {params.token} --password {config[password]}",
            "docker login --password-stdin registry.example.org",
            "mysql -p hunter2 -u me",
            "mkdir -p results/passed && touch results/passed/secretary.txt",
            "sort -k 1,1 -k2,2n --key=3 in.bed > out.bed",
            "singularity exec docker://ubuntu:22.04@sha256:45b23dee08af5e43a7fea6c4 cat /etc/issue",
            "docker://quay.io/biocontainers/samtools:1.15--h1170115_1",
            "wget https://host.org:8080/a@b/c?page=2#key",
            "ssh://git@github.com/org/repo.git",
            "abfs://container@account.dfs.core.windows.net/path",
            "Rscript -e 'key <- \"a\"; if (key == \"a\") print(key)'",
            "def tokenize(text: str, key=None, password: str = None): return tokens[key]",
            "for key, value in d.items(): print(key, value)",
            "API_KEY=os.environ['API_KEY'] python x.py",
            "HTTP 401: Bearer authentication required",
            "KeyError: 'label'",
            "MissingInputException in rule a: Missing input files: data/token.txt",
            "awk '{print $1}' keys.txt | monkey --disk-size 4 --task-name risk-assessment-and-more",
            "PASSWORD= cmd",
            "me@example.org wrote to you@example.org",
            "results/aizawa/eyjafjallajokull/asia/akian.txt",
        ],
    )  # fmt: skip
    def test_what_is_no_secret_stays(self, text: str) -> None:
        assert Masker().text(text) == text
        given = line({"kind": "task-started", **HEAD, "task": "t", "attempt": 1, "command": text})
        assert Masker().mask_line(given) is given

    def test_argument_vector(self) -> None:
        command = [
            "snakemake",
            "--password",
            "x",
            "--token",
            "--api-key",
            "k",
            "--tokenizer",
            "bert",
        ]
        expected = ["snakemake", "--password", "***", "--token", "--api-key", "***", *command[6:]]
        assert masked({"kind": "run-started", **HEAD, "command": command})["command"] == expected

    def test_long_texts_take_no_more_than_their_length(self) -> None:
        import time

        for piece in (
            "key",
            "password='",
            "a://b:",
            "eyJ",
            "sk-a-",
            "bearer ",
            "key\\",
            "x.token: '",
        ):
            text = piece * (20_000 // len(piece))
            began = time.process_time()
            Masker().text(text)
            assert time.process_time() - began < 2, piece


class TestLine:
    def test_without_secrets_is_the_same_object(self) -> None:
        given = msgspec.json.encode(
            events.TaskStarted(
                **HEAD,
                task="b5bb9d8014a0f9b1",
                attempt=1,
                command="bwa mem ref.fa a.fq > a.bam",
                inputs=[events.File("a.fq", size=3, sha256="0" * 64)],
            )
        )
        assert Masker(["some secret"]).mask_line(given) is given

    @pytest.mark.parametrize("kind", ["task-started", "run-started", "ml-param"])
    def test_without_hints_is_not_looked_at_twice(
        self, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = line({"kind": kind, **HEAD, "task": "0123", "command": "bwa mem -t 8 ref.fa"})
        monkeypatch.setattr(masking, "_may_hold", None)
        assert Masker().mask_line(given) is given

    def test_numbers_and_constants_keep_their_types(self) -> None:
        values: dict[str, Any] = {
            "i": 2**70, "f": 0.1, "e": 1e300, "one": 1.0, "t": True, "n": None, "s": "é💥\u2028",
            "deep": [[{}, []]],
        }  # fmt: skip
        result = parameters({**values, "api_key": "x"})
        assert json.dumps(result) == json.dumps({**values, "api_key": "***"})

    def test_password_in_what_else_is_secret(self) -> None:
        values = {
            "secrets": {"password": 5, "n": 5, "path": "/x"},
            "credentials": {"password": "/x"},
        }
        assert parameters(values) == {
            "secrets": {"password": "***", "n": 5, "path": "***"},
            "credentials": {"password": "***"},
        }

    def test_own_fields_stay_whatever_they_hold(self) -> None:
        secret = SHAPES["OpenAI"]
        event = {
            "kind": "task-ended", "time": secret, "writer": secret, "seq": 1, "run": secret,
            "task": secret, "attempt": 1, "status": "completed", "error": secret,
            "outputs": [{"path": "a", "type": "file", "sha256": secret}],
        }  # fmt: skip
        assert masked(event, secret, "file", "completed", "task-ended") == {**event, "error": "***"}

    def test_links_between_events_stay(self) -> None:
        event = {
            "kind": "task-planned", **HEAD, "task": "step/one", "step": "step", "parent": "step",
            "depends_on": ["step/two"], "label": "step one",
        }  # fmt: skip
        assert masked(event, "step") == {**event, "label": "*** one"}

    def test_parent_run_stays_and_its_store_is_masked(self) -> None:
        parent = {"run": "some-run", "task": "t", "attempt": 1, "store": "s3://k:some@bucket"}
        event = {"kind": "run-started", **HEAD, "workflow": "w", "parent": parent}
        assert masked(event, "some")["parent"] == {**parent, "store": "s3://***@bucket"}

    @pytest.mark.parametrize("name", ["run", "task", "writer", "sha256"])
    def test_of_anything_else_these_stay_at_the_top(self, name: str) -> None:
        assert masked({name: "some secret", "x": "some secret"}, "some secret") == {
            name: "some secret",
            "x": "***",
        }

    def test_every_kind_of_event_can_be_read_back(self) -> None:
        masker = Masker(["file", "completed", "task", "2026", "node", "directory"])
        file = events.File("a", role="file", size=2026, sha256="0" * 64)
        event = events.TaskEnded(
            **HEAD,
            task="task",
            attempt=1,
            status=events.Status.COMPLETED,
            began=HEAD["time"],
            outputs=[file, events.File("d", events.FileType.DIRECTORY, members=[file])],
            usage={"file": events.Figure("s", "proc", 2026.0)},
            processes=[events.Process(2026, HEAD["time"])],
            error="task completed",
        )
        read = msgspec.json.decode(
            masker.mask_line(msgspec.json.encode(event)), type=events.TaskEnded
        )
        assert read.error == "*** ***"
        assert read.outputs is not None
        assert (read.outputs[0].role, read.outputs[0].size) == ("***", 2026)
        assert read.began == HEAD["time"]

    def test_lone_surrogates_survive(self) -> None:
        given = rb'{"kind":"x","a":"\ud800","parameters":{"api_key":"y","\udcff":"z"}}'
        result = json.loads(Masker().mask_line(given))
        assert result == {
            "kind": "x",
            "a": "\ud800",
            "parameters": {"api_key": "***", "\udcff": "z"},
        }

    def test_too_deep_to_parse_is_masked_all_the_same(self) -> None:
        secret = SHAPES["OpenAI"]
        deep = (
            b'{"kind":"x","a":' + b"[" * 100_000 + line(f'k "{secret}" é') + b"]" * 100_000 + b"}"
        )
        result = Masker(["some é"]).mask_line(deep)
        assert secret.encode() not in result
        assert result == deep.replace(line(f'k "{secret}" é'), rb'"k \"***\" \u00e9"')

    def test_what_is_no_json_is_masked_all_the_same(self) -> None:
        secret = SHAPES["OpenAI"].encode()
        assert secret not in Masker().mask_line(b'{"a": "' + secret + b'", oops')
        assert secret not in Masker().mask_line(b'{"a": "\x01' + secret + b'"')
        assert Masker().mask_line(b'{"a": "\xff token", oops') == b'{"a": "\xff token", oops'


class TestDeclared:
    @pytest.mark.parametrize(
        "secret",
        ["correct horse", 'a"b\\c\nd', "pä$$/w&rd?", "it's mine", "密码密码", "p+q%20r", "7f3a9c"],
    )
    def test_is_found_in_every_form(self, secret: str) -> None:
        forms = [
            secret,
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            urllib.parse.quote(secret),
            urllib.parse.quote(secret, safe=""),
            urllib.parse.quote_plus(secret),
            secret.replace("'", "'\"'\"'"),
        ]
        masker = Masker([secret])
        for form in forms:
            assert masker.text(f"a{form}b") == "a***b"
            for encoded in (json.dumps, msgspec.json.encode):
                given = encoded({"kind": "x", "error": f"a{form}b"})
                given = given if isinstance(given, bytes) else given.encode()
                assert json.loads(masker.mask_line(given))["error"] == "a***b"

    def test_too_short_is_not_taken(self) -> None:
        masker = Masker(["abc", "  ab  ", "", "    "])
        assert masker.text("abc ab     ") == "abc ab     "

    def test_blanks_at_its_ends_are_no_part_of_it(self) -> None:
        assert Masker(["hunter2\n"]).text("is hunter2 it") == "is *** it"

    def test_longer_one_is_taken_first(self) -> None:
        assert Masker(["abcd", "abcdef"]).text("abcdef abcd") == "*** ***"

    def test_in_keys_and_numbers_of_users(self) -> None:
        values = {"x-abcd1": 1, "pin": 4711, "size": 47110, "*** ***": 0, "abcd1 abcd1": 1}
        assert parameters(values, "abcd1", "4711") == {
            "x-***": 1,
            "pin": "***",
            "size": 47110,
            "*** ***": 0,
            "*** ****": 1,
        }

    def test_that_the_mask_makes_up_anew_in_a_key(self) -> None:
        assert parameters({"aa******": 1}, "a***") == {"***": 1}
        assert parameters({"\nabc": 1}, "nabc") == {"***": 1}

    # A value that JSON's own punctuation holds cannot be kept out of JSON.
    secrets = st.text(min_size=4, max_size=12) | st.text(
        st.sampled_from("a\"\\\n*n/ %é'"), min_size=4
    )

    @given(secret=secrets, before=st.text(max_size=5), after=st.text(max_size=5))
    @example(secret="nabc", before="", after="\nabc")
    @example(secret="****", before="***", after="*")
    @example(secret="=***", before="password=x password", after="")
    @example(secret="a***", before="aa", after="**")
    @settings(max_examples=300, suppress_health_check=[HealthCheck.filter_too_much])
    def test_never_comes_out(self, secret: str, before: str, after: str) -> None:
        value = secret.strip()
        assume(len(value) >= 4)
        assume(not any("\ud800" <= char <= "\udfff" for char in secret))
        forms = {
            value,
            json.dumps(value)[1:-1],
            json.dumps(value, ensure_ascii=False)[1:-1],
            urllib.parse.quote(value, safe=""),
            urllib.parse.quote_plus(value),
        }

        def event(*texts: str) -> dict[str, Any]:
            return {
                "kind": "run-started",
                **HEAD,
                "error": texts[0],
                "command": list(texts),
                "config": {"password": texts[0], "deep": [{"x": text} for text in texts]},
            }

        empty = line(event(*["***"] * (len(forms) + 1)))
        assume(not any(form.encode() in empty for form in forms))
        texts = [before + secret + after, *(before + form + after for form in forms)]
        for encode in (line, lambda value: json.dumps(value).encode()):
            result = Masker([secret]).mask_line(encode(event(*texts)))
            assert not any(form.encode() in result for form in forms)
            assert {"kind": "run-started", **HEAD}.items() <= json.loads(result).items()

    def test_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {"A": "one", "B": "two", "C": "three", "EMPTY": "", "D": "one"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("GONE", raising=False)
        monkeypatch.setenv("YPROV_SECRETS", "B, C,GONE  D")
        assert declared_from_environment(["A", "EMPTY", "B"]) == ["one", "two", "three"]
        monkeypatch.delenv("YPROV_SECRETS")
        assert declared_from_environment(["A"]) == ["one"]


fragments = st.sampled_from(
    [
        "password", "token", "--api-key", "secret", "key", "=", ": ", " ", '"', "'", "\\", "***",
        "https://", "u:p", "Authorization: ", "Bearer ", "abcd1234", "\n", "{", "}", ",", "&", "@",
        *SHAPES.values(),
    ]
)  # fmt: skip
texts = st.lists(fragments | st.text(max_size=4), max_size=12).map("".join)
names = st.sampled_from(["password", "token", "api_key", "credentials", "name", "value", "key"])


def mappings(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(names | st.text(), values, max_size=4)


leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
trees = st.recursive(
    leaves.filter(lambda leaf: leaf not in (float("inf"), float("-inf"))),
    lambda inner: st.lists(inner, max_size=4) | mappings(inner),
    max_leaves=12,
)


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    return [shape(inner) for inner in value] if isinstance(value, list) else None


@given(texts)
@settings(max_examples=500)
def test_masked_text_stays_as_it_is(text: str) -> None:
    once = Masker().text(text)
    assert Masker().text(once) == once


@given(mappings(trees), st.sampled_from(["", "run-started"]))
@settings(max_examples=300)
def test_masked_line_is_json_of_the_same_shape(values: dict[str, Any], kind: str) -> None:
    event = {"kind": kind, **HEAD, "config": values} if kind else values
    once = Masker().mask_line(json.dumps(event).encode())
    assert b"\n" not in once
    assert shape(json.loads(once)) == shape(event)
    assert Masker().mask_line(once) == once


@given(texts)
@settings(max_examples=500)
def test_the_fast_way_past_a_line_misses_nothing(text: str) -> None:
    given = json.dumps({"kind": "x", "error": text}).encode()
    if Masker().text(text) != text:
        assert Masker().mask_line(given) is not given


@pytest.mark.parametrize("hint", sorted(masking._HINTS))
def test_the_fast_way_past_a_line_sees_every_hint(
    hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Masker, "_masked", lambda self, line: b"looked at")
    for word in (hint, hint.upper(), hint.title()):
        for prefix in ('{"kind":"task-started",', '{"kind":"run-started",', "{"):
            assert Masker().mask_line(f'{prefix}"error":"{word}"}}'.encode()) == b"looked at"


def test_url_without_who_uses_it() -> None:
    assert without_userinfo("https://me:pw@host/x") == "https://host/x"


def test_import_is_light() -> None:
    script = (
        "import __future__, sys, json, re, os, functools, itertools, typing\n"
        "before = set(sys.modules)\n"
        "import yprov4wms.masking; print(*sorted(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    own = ["yprov4wms", "yprov4wms.masking", "yprov4wms.masking_rules"]
    assert run.stdout.split() == own


@pytest.mark.parametrize(
    ("command", "masked"),
    [
        ("mysql -psecret 2>/dev/null", "mysql -p*** 2>/dev/null"),
        (
            "mysqldump --port 3306 -p'a b' db; touch -p c",
            "mysqldump --port 3306 -p*** db; touch -p c",
        ),
        ("curl -s -u user:pw https://h/", "curl -s -u user:*** https://h/"),
        ("curl --user=me:hunter2 x", "curl --user=me:*** x"),
        ("sshpass -p hunter2 ssh x", "sshpass -p *** ssh x"),
        ("train --secret-seed 42 --key-size 2048", None),
        ("tool -psecret out.txt", None),
        ("curl -o out:put https://h/", None),
        ("wget -p https://h/ && mysql -p db", None),
    ],
)
def test_passwords_that_tools_take_by_a_short_option(command: str, masked: str | None) -> None:
    masker = Masker()
    assert masker.text(command) == (masked or command)
    line = b'{"kind":"task-started","command":%s}' % json.dumps(command).encode()
    assert json.loads(masker.mask_line(line))["command"] == (masked or command)
