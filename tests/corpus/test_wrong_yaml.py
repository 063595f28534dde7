"""Campaign files that are no YAML, or YAML of a kind that we don't read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

Refused = Callable[..., None]

TEXTS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "x.yaml:1: is empty; a campaign is `key: value` lines, `kind:` the first"),
    "comments only": ("# kind: screen\n", "x.yaml:1: is empty; a campaign is `key: value` lines, `kind:` the first"),
    "a list": (
        "- kind: screen\n",
        "x.yaml:1: holds no mapping at its top; a campaign is `key: value` lines, `kind:` the first",
    ),
    "a word": (
        "screen\n",
        "x.yaml:1: holds no mapping at its top; a campaign is `key: value` lines, `kind:` the first",
    ),
    "two documents": (
        "kind: screen\n---\nkind: train\n",
        "x.yaml:2: isn't YAML: there is a second document (after ---), and a campaign is one "
        "(expected a single document in the stream that begins on line 1)",
    ),
    "a tab as indent": (
        "kind: screen\nbudget:\n\tcells: 1\n",
        "x.yaml:3: isn't YAML: a tab stands in the indent; use spaces (while scanning for the next token)",
    ),
    "a bracket that stays open": (
        "kind: screen\ncontexts: [a, b\nseed: 0\n",
        "x.yaml:3: isn't YAML: a bracket [ isn't closed, or a comma is missing (while parsing a flow "
        "sequence that begins on line 2)",
    ),
    "a quote that stays open": (
        "kind: screen\nname: 'tiny\nseed: 0\n",
        "x.yaml:4: isn't YAML: a quote isn't closed (while scanning a quoted scalar that begins on line 2)",
    ),
    "no colon": (
        "kind: screen\nname tiny\nseed: 0\n",
        "x.yaml:3: isn't YAML: a key without its colon; write `key: value` (while scanning a simple "
        "key that begins on line 2)",
    ),
    "no space after the colon": (
        "kind:screen\n",
        "x.yaml:1: holds no mapping at its top; a campaign is `key: value` lines, `kind:` the first",
    ),
    "a colon in a plain text": (
        "kind: screen\nname: tiny: one\n",
        "x.yaml:2: isn't YAML: a colon stands in a value; put the value into quotes",
    ),
    "an indent that fits nothing": (
        "kind: screen\nbudget:\n    cells: 1\n  conditions: 2\n",
        "x.yaml:4: isn't YAML: the indent fits no line above (while parsing a block mapping that begins on line 1)",
    ),
    "a key twice": (
        "kind: screen\nseed: 1\nseed: 2\n",
        "x.yaml:3: seed: key 'seed' appears twice, first on line 2; keep one",
    ),
    "a key twice, inside": (
        "kind: screen\nbudget: {cells: 1, cells: 2}\n",
        "x.yaml:2: budget.cells: key 'cells' appears twice, first on line 2; keep one",
    ),
    "a merge key": (
        "base: &base {seed: 1}\nkind: screen\n<<: *base\n",
        "x.yaml:3: merge keys (<<) aren't YAML 1.2; write the keys out",
    ),
    "an alias of nothing": ("kind: screen\nname: *nobody\n", "x.yaml:2: isn't YAML: found undefined alias 'nobody'"),
    "an alias of itself": (
        "kind: screen\nmodel: &m [*m]\n",
        "x.yaml:2: more than 32 levels deep once aliases are followed",
    ),
    "too many aliases": (
        "a: &a 1\nb: [" + "*a, " * 65 + "]\n",
        "x.yaml:2: more than 64 aliases (*name); write the values out",
    ),
    "an alias bomb": (
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)),
        "x.yaml:1: more than 30,000 keys and values; put long lists into a text file and name it with `file:`",
    ),
    "too deep": ("kind: " + "[" * 40 + "]" * 40 + "\n", "x.yaml:1: more than 32 levels deep"),
    "a million brackets": ("kind: " + "[" * 1_000_000, "x.yaml:1: more than 32 levels deep"),
    "a million values": (
        "kind: [" + "1," * 500_000 + "]\n",
        "x.yaml:1: more than 30,000 keys and values; put long lists into a text file and name it with `file:`",
    ),
    "code in a tag": (
        "kind: screen\nname: !!python/object/apply:os.system ['touch sprung']\n",
        "x.yaml:2: tag 'tag:yaml.org,2002:python/object/apply:os.system' isn't allowed; leave it out "
        "(quotes make a text)",
    ),
    "a tag of YAML": (
        "kind: screen\nname: !!str 12\n",
        "x.yaml:2: tag 'tag:yaml.org,2002:str' isn't allowed; leave it out (quotes make a text)",
    ),
    "a tag of a user": (
        "kind: screen\nname: !include secret.yaml\n",
        "x.yaml:2: tag '!include' isn't allowed; leave it out (quotes make a text)",
    ),
    "a leading zero": (
        "kind: screen\nseed: 012\n",
        "x.yaml:2: seed: 012 has a leading zero; write 12 for a number, '012' for a name",
    ),
    "infinity": (
        "kind: screen\nseed: .inf\n",
        "x.yaml:2: seed: .inf is too large or no finite number; put it into quotes if it is a name",
    ),
    "a number too large": (
        "kind: screen\nseed: 1e999\n",
        "x.yaml:2: seed: 1e999 is too large or no finite number; put it into quotes if it is a name",
    ),
    "a number of 5,000 digits": (
        "kind: screen\nseed: " + "9" * 5000 + "\n",
        "x.yaml:2: seed: 9999999999999999999999999999999999999999 is too large or no finite number; "
        "put it into quotes if it is a name",
    ),
    "a number as a key": ("kind: screen\n1: one\n", "x.yaml:2: a key has to be text and '1' isn't; put it into quotes"),
    "nothing as a key": ("kind: screen\n~: one\n", "x.yaml:2: a key has to be text and '~' isn't; put it into quotes"),
    "a list as a key": (
        "kind: screen\n[a, b]: one\n",
        "x.yaml:2: a key has to be text and this one isn't; put it into quotes",
    ),
    "a key of 2,000 characters": (
        "kind: screen\n? " + "k" * 2000 + "\n: one\n",
        "x.yaml:2: a key of 2,000 characters; at most 1,000 are allowed",
    ),
    "a control character": ('kind: screen\nname: "a\\x07b"\n', "x.yaml:2: name: the text holds a control character"),
    "a raw control character": ("kind: screen\nname: a\x07b\n", "x.yaml:2: character U+0007 isn't allowed in YAML"),
    "a colour for the terminal": (
        'kind: screen\n"\\u202e\\u2028x": 1\n',
        "x.yaml:1: missing field 'name': Name of the campaign: letters, digits, . _ -\n"
        "x.yaml:1: missing field 'model': Folder of the checkpoint or the ensemble, or a list of "
        "checkpoints: local paths or s3:// URLs.\n"
        "x.yaml:1: missing field 'contexts': Contexts: all_seen, a list of {factor: value}, a "
        "product, or {file: contexts.csv}.\n"
        "x.yaml:1: missing field 'perturbations': What to try.\n"
        "x.yaml:1: missing field 'objective': What you want the cells to do.\n"
        "x.yaml:1: missing field 'output': Folder of the results: local path or s3:// URL.\n"
        "x.yaml:2: [\"\\u202e\\u2028x\"]: unknown key '\\u202e\\u2028x'; known: kind, name, model, "
        "contexts, perturbations, objective, estimator, allocation, hits, evidence, safety, seed and 6 more",
    ),
    "an escape out of range": (
        'kind: screen\nname: "\\U00110000"\n',
        "x.yaml:2: a number or an escape out of range: chr() arg not in range(0x110000)",
    ),
    "Latin-1": (
        "kind: screen\nname: 5 µl\n".encode("latin-1"),
        "x.yaml:2: byte 0xb5 is no UTF-8; save the file as UTF-8",
    ),
    "UTF-16": (
        "kind: screen\n".encode("utf-16"),
        "x.yaml: is no text in UTF-8, but a file of another kind, or UTF-16; a campaign is a YAML file",
    ),
    "NUL": (b"kind: screen\nname: a\x00b\n", "x.yaml:2: character U+0000 isn't allowed in YAML"),
    "too large": (
        b"kind: screen\n#" + b"x" * (1 << 20),
        "x.yaml: is larger than 1,048,576 bytes; put long lists into a text file and name it with `file:`",
    ),
    "a variable of others": (
        "kind: screen\nname: ${HOME}\n",
        "x.yaml:2: name: ${HOME} isn't replaced: only variables that begin with LINGSHU_ are",
    ),
    "a variable that isn't set": (
        "kind: screen\nname: ${LINGSHU_NOWHERE}/x\n",
        "x.yaml:2: name: variable LINGSHU_NOWHERE isn't set; set it or write ${LINGSHU_NOWHERE:-default}",
    ),
    "a variable in a variable": (
        "kind: screen\nname: ${LINGSHU_A:-${LINGSHU_B}}\n",
        "x.yaml:2: name: `${` without its `}`, or one in another; write ${LINGSHU_NAME:-default}",
    ),
    "a variable without its end": (
        "kind: screen\nname: ${LINGSHU_A\n",
        "x.yaml:2: name: `${` without its `}`, or one in another; write ${LINGSHU_NAME:-default}",
    ),
    "no kind": (
        "name: tiny\n",
        "x.yaml:1: missing field 'kind'; write `kind: train` or `kind: screen` or `kind: generate` or `kind: evaluate` "
        "or `kind: chaos`",
    ),
    "an unknown kind": ("kind: screeen\n", "x.yaml:1: kind: unknown kind 'screeen'; nearest: screen"),
    "a kind that is no text": ("kind: [screen]\n", "x.yaml:1: kind: unknown kind \"['screen']\"; nearest: screen"),
    "three mistakes": (
        "kind: screen\nseed: 01\nname: ${HOME}\nseed: 2\n",
        "x.yaml:2: seed: 01 has a leading zero; write 1 for a number, '01' for a name\n"
        "x.yaml:3: name: ${HOME} isn't replaced: only variables that begin with LINGSHU_ are\n"
        "x.yaml:4: seed: key 'seed' appears twice, first on line 2; keep one",
    ),
}


@pytest.mark.parametrize(("text", "message"), TEXTS.values(), ids=TEXTS)
def test_a_text_that_is_no_campaign(desk: Path, refused: Refused, text: str | bytes, message: str) -> None:
    (desk / "x.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    refused("validate", "x.yaml", says=message)
    assert not (desk / "sprung").exists()


FILES: dict[str, tuple[str, str]] = {
    "not there": (
        "none.yaml",
        "none.yaml: can't be read: No such file or directory; a relative path starts from the working directory",
    ),
    "a folder": ("model", "model: can't be read: Is a directory; name a .yaml file in it"),
    "cells": (
        "cells.h5ad",
        "cells.h5ad: is no text in UTF-8, but a file of another kind, or UTF-16; a campaign is a YAML file",
    ),
    "weights": (
        "model/weights.safetensors",
        "model/weights.safetensors: is no text in UTF-8, but a file of another kind, or UTF-16; a "
        "campaign is a YAML file",
    ),
    "an endless file": (
        "/dev/zero",
        "/dev/zero: is larger than 1,048,576 bytes; put long lists into a text file and name it with `file:`",
    ),
    "a URL": (
        "s3://bucket/screen.yaml",
        "s3:/bucket/screen.yaml: can't be read: it is a URL, and campaign files are local; copy it to this machine",
    ),
    "a name with a line end": (
        "a\nb.yaml",
        "a\\nb.yaml: can't be read: No such file or directory; a relative path starts from the working directory",
    ),
}


@pytest.mark.parametrize(("file", "message"), FILES.values(), ids=FILES)
@pytest.mark.usefixtures("desk")
def test_a_file_that_is_no_campaign(refused: Refused, file: str, message: str) -> None:
    refused("validate", file, says=message)


KINDS: dict[str, tuple[str, str, str]] = {
    "train a screen": (
        "train",
        "screen.yaml",
        "screen.yaml:2: kind: this is a `kind: screen` file and a `kind: train` file is wanted; use `lingshu run`",
    ),
    "run a training": (
        "run",
        "train.yaml",
        "train.yaml:2: kind: this is a `kind: train` file and a `kind: screen` file is wanted; use `lingshu train`",
    ),
    "run an evaluation": (
        "run",
        "evaluate.yaml",
        "evaluate.yaml:2: kind: this is a `kind: evaluate` file and a `kind: screen` file is wanted; "
        "use `lingshu evaluate`",
    ),
    "evaluate a request for cells": (
        "evaluate",
        "generate.yaml",
        "generate.yaml:2: kind: this is a `kind: generate` file and a `kind: evaluate` file is "
        "wanted; use `lingshu generate`",
    ),
    "generate by a screen": (
        "generate",
        "screen.yaml",
        "screen.yaml:2: kind: this is a `kind: screen` file and a `kind: generate` file is wanted; use `lingshu run`",
    ),
    "status of a training": (
        "status",
        "train.yaml",
        "train.yaml:2: kind: this is a `kind: train` file and a `kind: screen` file is wanted; use `lingshu train`",
    ),
}


@pytest.mark.parametrize(("command", "file", "message"), KINDS.values(), ids=KINDS)
@pytest.mark.usefixtures("desk")
def test_a_campaign_for_another_command(refused: Refused, command: str, file: str, message: str) -> None:
    refused(command, file, says=message)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(desk: Path, refused: Refused) -> None:
    (desk / "screen.yaml").chmod(0)
    refused("validate", "screen.yaml", says="screen.yaml: can't be read: Permission denied")
