"""Citation, version, changelog and hooks agree with one another."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_version_is_one() -> None:
    changes = re.findall(r"^## \[([^]]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert CITATION["version"] == PROJECT["version"] == next(name for name in changes if name != "Unreleased")


def test_the_citation_has_what_its_format_asks_for() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert {"title", "message", "authors", "type"} <= set(CITATION)
    assert CITATION["type"] == "software"
    for authors in (CITATION["authors"], *(entry["authors"] for entry in CITATION["references"])):
        assert authors
        assert all("name" in author or "family-names" in author for author in authors)
    assert CITATION["license"] == PROJECT["license"]
    assert PROJECT["name"] in CITATION["title"]
    assert all({"type", "title", "authors"} <= set(entry) for entry in CITATION["references"])


def test_every_hook_is_a_target() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        command, target = hook["entry"].split()
        assert command == "make"
        assert target in TARGETS
        assert (hook["language"], hook["pass_filenames"]) == ("system", False)


def test_ci_runs_what_contributors_are_asked_to_run() -> None:
    asked = set(re.findall(r"^make ([a-z]+)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert asked == set(re.findall(r"^make ([a-z]+)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE))
    assert asked <= TARGETS


def test_every_package_says_that_it_is_typed() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    packages = tool["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert all((ROOT / package / "py.typed").is_file() for package in packages)
