"""Campaign files that are no YAML, or YAML of a kind that we don't read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

Refused = Callable[..., None]

TEXTS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "?"),
    "comments only": ("# kind: screen\n", "?"),
    "a list": ("- kind: screen\n", "?"),
    "a word": ("screen\n", "?"),
    "two documents": ("kind: screen\n---\nkind: train\n", "?"),
    "a tab as indent": ("kind: screen\nbudget:\n\tcells: 1\n", "?"),
    "a bracket that stays open": ("kind: screen\ncontexts: [a, b\nseed: 0\n", "?"),
    "a quote that stays open": ("kind: screen\nname: 'tiny\nseed: 0\n", "?"),
    "no colon": ("kind: screen\nname tiny\nseed: 0\n", "?"),
    "no space after the colon": ("kind:screen\n", "?"),
    "a colon in a plain text": ("kind: screen\nname: tiny: one\n", "?"),
    "an indent that fits nothing": ("kind: screen\nbudget:\n    cells: 1\n  conditions: 2\n", "?"),
    "a key twice": ("kind: screen\nseed: 1\nseed: 2\n", "?"),
    "a key twice, inside": ("kind: screen\nbudget: {cells: 1, cells: 2}\n", "?"),
    "a merge key": ("base: &base {seed: 1}\nkind: screen\n<<: *base\n", "?"),
    "an alias of nothing": ("kind: screen\nname: *nobody\n", "?"),
    "an alias of itself": ("kind: screen\nmodel: &m [*m]\n", "?"),
    "too many aliases": ("a: &a 1\nb: [" + "*a, " * 65 + "]\n", "?"),
    "an alias bomb": (
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)),
        "?",
    ),
    "too deep": ("kind: " + "[" * 40 + "]" * 40 + "\n", "?"),
    "a million brackets": ("kind: " + "[" * 1_000_000, "?"),
    "a million values": ("kind: [" + "1," * 500_000 + "]\n", "?"),
    "code in a tag": ("kind: screen\nname: !!python/object/apply:os.system ['touch sprung']\n", "?"),
    "a tag of YAML": ("kind: screen\nname: !!str 12\n", "?"),
    "a tag of a user": ("kind: screen\nname: !include secret.yaml\n", "?"),
    "a leading zero": ("kind: screen\nseed: 012\n", "?"),
    "infinity": ("kind: screen\nseed: .inf\n", "?"),
    "a number too large": ("kind: screen\nseed: 1e999\n", "?"),
    "a number of 5,000 digits": ("kind: screen\nseed: " + "9" * 5000 + "\n", "?"),
    "a number as a key": ("kind: screen\n1: one\n", "?"),
    "nothing as a key": ("kind: screen\n~: one\n", "?"),
    "a list as a key": ("kind: screen\n[a, b]: one\n", "?"),
    "a key of 2,000 characters": ("kind: screen\n? " + "k" * 2000 + "\n: one\n", "?"),
    "a control character": ('kind: screen\nname: "a\\x07b"\n', "?"),
    "a raw control character": ("kind: screen\nname: a\x07b\n", "?"),
    "a colour for the terminal": ('kind: screen\n"\\u202e\\u2028x": 1\n', "?"),
    "an escape out of range": ('kind: screen\nname: "\\U00110000"\n', "?"),
    "Latin-1": ("kind: screen\nname: 5 µl\n".encode("latin-1"), "?"),
    "UTF-16": ("kind: screen\n".encode("utf-16"), "?"),
    "NUL": (b"kind: screen\nname: a\x00b\n", "?"),
    "too large": (b"kind: screen\n#" + b"x" * (1 << 20), "?"),
    "a variable of others": ("kind: screen\nname: ${HOME}\n", "?"),
    "a variable that isn't set": ("kind: screen\nname: ${LINGSHU_NOWHERE}/x\n", "?"),
    "a variable in a variable": ("kind: screen\nname: ${LINGSHU_A:-${LINGSHU_B}}\n", "?"),
    "a variable without its end": ("kind: screen\nname: ${LINGSHU_A\n", "?"),
    "no kind": ("name: tiny\n", "?"),
    "an unknown kind": ("kind: screeen\n", "?"),
    "a kind that is no text": ("kind: [screen]\n", "?"),
    "three mistakes": ("kind: screen\nseed: 01\nname: ${HOME}\nseed: 2\n", "?"),
}


@pytest.mark.parametrize(("text", "message"), TEXTS.values(), ids=TEXTS)
def test_a_text_that_is_no_campaign(desk: Path, refused: Refused, text: str | bytes, message: str) -> None:
    (desk / "x.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    refused("validate", "x.yaml", says=message)
    assert not (desk / "sprung").exists()


FILES: dict[str, tuple[str, str]] = {
    "not there": ("none.yaml", "?"),
    "a folder": ("model", "?"),
    "cells": ("cells.h5ad", "?"),
    "weights": ("model/weights.safetensors", "?"),
    "an endless file": ("/dev/zero", "?"),
    "a URL": ("s3://bucket/screen.yaml", "?"),
    "a name with a line end": ("a\nb.yaml", "?"),
}


@pytest.mark.parametrize(("file", "message"), FILES.values(), ids=FILES)
@pytest.mark.usefixtures("desk")
def test_a_file_that_is_no_campaign(refused: Refused, file: str, message: str) -> None:
    refused("validate", file, says=message)


KINDS: dict[str, tuple[str, str, str]] = {
    "train a screen": ("train", "screen.yaml", "?"),
    "run a training": ("run", "train.yaml", "?"),
    "run an evaluation": ("run", "evaluate.yaml", "?"),
    "evaluate a request for cells": ("evaluate", "generate.yaml", "?"),
    "generate by a screen": ("generate", "screen.yaml", "?"),
    "status of a training": ("status", "train.yaml", "?"),
}


@pytest.mark.parametrize(("command", "file", "message"), KINDS.values(), ids=KINDS)
@pytest.mark.usefixtures("desk")
def test_a_campaign_for_another_command(refused: Refused, command: str, file: str, message: str) -> None:
    refused(command, file, says=message)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(desk: Path, refused: Refused) -> None:
    (desk / "screen.yaml").chmod(0)
    refused("validate", "screen.yaml", says="screen.yaml: can't be read: Permission denied")
