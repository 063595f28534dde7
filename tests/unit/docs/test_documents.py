"""What the documentation shows has to work: YAML, commands, options, make targets, links."""

import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, get_args
from xml.etree import ElementTree

import pytest
import typer

import actors.errors
import campaigns.chaos_spec
import campaigns.errors
import campaigns.evaluation_spec
import campaigns.feature_spec
import campaigns.generation_spec
import campaigns.split_spec
import lingshu_core.errors
import screening.errors
from campaigns.across_spec import AcrossSpec
from campaigns.chaos_spec import ChaosSpec
from campaigns.evaluation_spec import EvaluateSpec
from campaigns.generation_spec import GenerateSpec
from campaigns.screen_spec import ScreenSpec
from campaigns.source import load_any
from campaigns.training_spec import TrainSpec
from campaigns.yaml_source import dump_yaml, parse_yaml
from screening.cli import app

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
EXAMPLES = ROOT / "campaigns" / "examples" / "quickstart"
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)(?: title=[^\n]*)?\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
TRAINING_PARTS = {"data", "features", "hold_out", "training", "pseudo_perturbations"}


def fences(page: Path) -> list[tuple[str, str]]:
    """Language and text of every fenced block."""
    found = FENCE.finditer(page.read_text(encoding="utf-8"))
    return [
        (match["language"], re.sub(f"^{match['indent']}", "", match["body"], flags=re.MULTILINE)) for match in found
    ]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def numbered(language: str) -> list[Any]:
    """Every block of a language, named by page and number."""
    return [
        pytest.param(body, id=f"{page.name}-{number}")
        for page in PAGES
        for number, (found, body) in enumerate(fences(page))
        if found == language
    ]


def shell_lines() -> list[Any]:
    return [
        pytest.param(line, id=f"{page.name}: {line[:60]}")
        for page in PAGES
        for language, body in fences(page)
        if language == "console"
        for line in body.splitlines()
        if re.match(r"(\.venv/bin/)?lingshu ", line)
    ]


@pytest.fixture
def plugins_of_the_pages(example_plugin: Path, install_plugin: Callable[..., Path]) -> None:
    """The entry points of docs/plugins.md; validating a file imports none of them."""
    (package,) = (body for language, body in fences(ROOT / "docs" / "plugins.md") if language == "toml")
    install_plugin("my-plugins", tomllib.loads(package)["project"]["entry-points"])


@pytest.mark.parametrize("text", numbered("yaml"))
@pytest.mark.usefixtures("plugins_of_the_pages")
def test_yaml_block_is_a_campaign_or_a_part_of_one(text: str, tmp_path: Path) -> None:
    data = parse_yaml(text.encode(), "block.yaml").data
    if "kind" not in data:  # a part stands in for the same part of the quickstart
        example = EXAMPLES / ("train.yaml" if set(data) <= TRAINING_PARTS else "screen.yaml")
        text = dump_yaml(parse_yaml(example.read_bytes(), str(example)).data | data)
    file = tmp_path / "campaign.yaml"
    file.write_text(text, encoding="utf-8")
    assert isinstance(load_any(file).spec, ScreenSpec | TrainSpec | GenerateSpec | EvaluateSpec | ChaosSpec)


@pytest.mark.parametrize("line", shell_lines())
def test_command_line_has_a_command_and_options_that_exist(line: str) -> None:
    words = shlex.split(line.partition(" #")[0].partition(" > ")[0])
    command = COMMANDS[words[1]]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known
    assert len(words) > 2 or words[1] in ("doctor", "plugins")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_named_in_the_text_exist(page: Path) -> None:
    named = set(re.findall(r"`lingshu ([a-z]+)", prose(page)))
    assert named <= set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`make ([a-z0-9-]+)`", text)) | set(re.findall(r"^make ([a-z0-9-]+)", text, re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_to_files(page: Path) -> None:
    links = [link.partition("#")[0] for link in LINK.findall(prose(page)) if "://" not in link]
    made = (ROOT / "docs" / "notebooks").glob("*.ipynb")  # pages of notebooks are made when the docs are built
    pages = {notebook.with_suffix(".md") for notebook in made}
    missing = [link for link in links if link and page.parent / link not in pages and not (page.parent / link).exists()]
    assert not missing


def test_every_page_is_in_the_navigation() -> None:
    navigation = set(re.findall(r"(?<= )[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    notebooks = {f"notebooks/{notebook.stem}.md" for notebook in (ROOT / "docs" / "notebooks").glob("*.ipynb")}
    tutorials = {f"tutorials/{page.name}" for page in (ROOT / "docs" / "tutorials").glob("*.md")}
    assert navigation == {page.name for page in (ROOT / "docs").glob("*.md")} | notebooks | tutorials


def test_every_field_of_a_campaign_is_explained() -> None:
    explained = (ROOT / "docs" / "campaigns.md").read_text(encoding="utf-8")
    blocks = [
        ScreenSpec,
        AcrossSpec,
        *(
            ScreenSpec.model_fields[name].annotation
            for name in ("estimator", "allocation", "hits", "budget", "compute")
        ),
    ]
    fields = {name for block in blocks for name in block.model_fields}  # type: ignore[union-attr]
    assert not {name for name in fields if name not in explained}


def test_every_field_of_a_request_for_cells_is_explained() -> None:
    explained = (ROOT / "docs" / "generate.md").read_text(encoding="utf-8")
    blocks = [block for name, block in vars(campaigns.generation_spec).items() if name.endswith("Spec")]
    fields = {name for block in blocks for name in getattr(block, "model_fields", ())}
    assert len(fields) > 20
    assert not {name for name in fields if f"`{name}`" not in explained and f"{name}:" not in explained}


def test_every_field_of_a_training_is_explained() -> None:
    explained = (ROOT / "docs" / "train.md").read_text(encoding="utf-8")
    training = TrainSpec.model_fields["training"].annotation
    pseudo = vars(campaigns.training_spec)["PseudoPerturbationsSpec"]
    fields = {*TrainSpec.model_fields, *training.model_fields, *pseudo.model_fields}  # type: ignore[union-attr]
    assert not {name for name in fields if name not in explained}


def test_every_field_and_fault_of_a_rehearsal_is_explained() -> None:
    explained = (ROOT / "docs" / "rehearsals.md").read_text(encoding="utf-8")
    faults = {*get_args(campaigns.chaos_spec.WorkerFaultName), *get_args(campaigns.chaos_spec.StoreFaultName)}
    assert not {name for name in {*ChaosSpec.model_fields, *faults} if f"`{name}`" not in explained}


def test_every_field_of_features_is_explained() -> None:
    explained = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    blocks = [block for name, block in vars(campaigns.feature_spec).items() if name.endswith(("Spec", "Source"))]
    fields = {name for block in blocks for name in block.model_fields}
    assert len(fields) > 10
    assert not {name for name in fields if f"`{name}`" not in explained}


def test_every_field_of_an_evaluation_is_explained() -> None:
    explained = (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8")
    blocks = [block for name, block in vars(campaigns.evaluation_spec).items() if name.startswith("Evalua")]
    entries = [block for name, block in vars(campaigns.evaluation_spec).items() if name.endswith("Entry")]
    fields = {name for block in (*blocks, *entries) for name in getattr(block, "model_fields", ())} - {"kind"}
    assert len(fields) > 25
    assert not {name for name in fields if f"`{name}`" not in explained}


def test_every_field_of_a_split_is_explained() -> None:
    explained = (ROOT / "docs" / "splits.md").read_text(encoding="utf-8")
    blocks = [block for block in vars(campaigns.split_spec).values() if hasattr(block, "model_fields")]
    fields = {name for block in blocks for name in block.model_fields}
    named = [block.model_fields["kind"].annotation for block in blocks if "kind" in block.model_fields]
    kinds = {kind for annotation in named for kind in get_args(annotation)}
    assert len(fields) > 20
    assert len(kinds) > 12
    assert not {name for name in fields | kinds if f"`{name}`" not in explained}


def test_pictures_fetch_nothing() -> None:
    for picture in (ROOT / "docs" / "images").glob("*.svg"):
        text = picture.read_text(encoding="utf-8")
        assert len(text) < 200_000
        assert ElementTree.fromstring(text).tag.endswith("svg")
        assert set(re.findall(r"https?://[^\"'\s)]+", text)) <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("module", [actors.errors, campaigns.errors, lingshu_core.errors, screening.errors])
def test_every_error_is_in_the_trees(module: ModuleType) -> None:
    told = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    errors = {name for name, value in vars(module).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert not {name for name in errors if not re.search(rf"\b{name}\b", told)}
