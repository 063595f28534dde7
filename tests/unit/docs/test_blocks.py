"""Every fenced block of the documentation is run or checked; what can't be says why, in `NOT_CHECKED` and `OUTSIDE`."""

import ast
import importlib
import importlib.util
import inspect
import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import typer

from campaigns.source import load_any
from campaigns.spec import Spec
from campaigns.yaml_source import dump_yaml, parse_yaml
from screening.cli import app
from screening.usage import UsageError, usage_message

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
EXAMPLES = ROOT / "campaigns" / "examples" / "quickstart"
OURS = ("screening", "actors", "lingshu_core", "campaigns", "benchmarks")
TRAINING_PARTS = {"data", "features", "hold_out", "training", "pseudo_perturbations"}
SHELL = ("bash", "console", "sh")
CHECKED = (*SHELL, "yaml", "python", "json", "toml")

NOT_CHECKED = {
    "text": "formulas, trees of files and what was printed; nothing in them is typed by a reader",
}
"""Languages whose blocks are left alone, and why."""

RUN_ELSEWHERE = {
    "python.md": "tests/integration/test_notebooks.py",
    "query.md": "tests/integration/test_queries.py",
    "plugins.md": "tests/unit/docs/test_plugins_page.py",
}
"""Pages whose Python a test of their own runs; here their blocks are compiled only."""

NOT_RUN = {
    "embed.md": "shows scanpy, which is no dependency, on the cells that `lingshu embed` writes",
    "model-card.md": "measures a real model on real cells for minutes; its names and arguments are checked",
}
"""Pages whose Python is compiled and its calls bound to the signatures of the code, but not run, and why."""

OUTSIDE = {
    "cat": "writes the file whose content follows; JSON in it is parsed",
    "cd": "the shell's; the folder has to exist",
    "export": "the shell's",
    "jq": "reads the lines that `lingshu run --json` prints; not installed with us",
    "kubectl": "needs a cluster; the manifests that it applies are checked in tests/unit/deploy",
    "mkdir": "the shell's",
    "pip": "installs; extras of ours that it names are looked up",
    "podman": "builds images; the Containerfile is checked in tests/unit/deploy",
    "pre-commit": "a tool of contributors, installed by themselves",
    "prometheus": "started with this very file in the tests of monitoring",
    "promtool": "runs on these very files in the tests of monitoring",
    "python3": "Python's own modules",
    "ray": "its options are looked up in Ray's own source; nothing is started",
    "source": "the shell's",
    "sbatch": "needs Slurm; the script is checked in tests/unit/deploy",
    "weed": "the S3 server of the tests is started by benchmarks.s3_server",
}
"""Programs that aren't ours: what of their command lines is not checked, and why."""

FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
HEREDOC = re.compile(r"^(?P<command>.*<<'?(?P<end>\w+)'?)\n(?P<body>.*?)^(?P=end)$", re.MULTILINE | re.DOTALL)
LINGSHU: Any = typer.main.get_command(app)
CONTEXT = LINGSHU.context_class(LINGSHU, info_name="lingshu")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, what it is written in, and its text without the indent."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """The page below docs: ``tutorials/drugs.md``."""
        docs = ROOT / "docs"
        return self.page.relative_to(docs if self.page.is_relative_to(docs) else ROOT).as_posix()

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        language = (match["info"].split() or [""])[0]
        body = re.sub(f"^{match['indent']}", "", match["body"], flags=re.MULTILINE)
        yield Block(page, text.count("\n", 0, match.start()) + 1, language, body)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def written_in(*languages: str) -> list[Any]:
    return [pytest.param(block, id=block.place) for block in BLOCKS if block.language in languages]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_found_and_has_a_language_that_is_checked(page: Path) -> None:
    found = [block for block in BLOCKS if block.page == page]
    fences = re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(found)
    unknown = [block.place for block in found if block.language not in {*CHECKED, *NOT_CHECKED}]
    assert not unknown, "say how blocks of this language are checked, or in NOT_CHECKED why they are not"


def test_reasons_are_given_for_nothing_else() -> None:
    languages = {block.language for block in BLOCKS}
    assert NOT_CHECKED.keys() <= languages
    assert {*RUN_ELSEWHERE, *NOT_RUN, *STAGES} <= WITH_PYTHON
    assert all(page in (ROOT / test).read_text(encoding="utf-8") for page, test in RUN_ELSEWHERE.items())


# YAML


@pytest.fixture
def plugins_of_the_pages(example_plugin: Path, install_plugin: Callable[..., Path]) -> None:
    """The entry points of docs/plugins.md; validating a file imports none of them."""
    (package,) = (block.text for block in BLOCKS if block.language == "toml" and block.name == "plugins.md")
    install_plugin("my-plugins", tomllib.loads(package)["project"]["entry-points"])


@pytest.mark.parametrize("block", written_in("yaml"))
@pytest.mark.usefixtures("plugins_of_the_pages")
def test_yaml_is_a_campaign_or_a_part_of_one(block: Block, tmp_path: Path) -> None:
    text = block.text
    data = parse_yaml(text.encode(), block.place).data
    if "kind" not in data:  # a part stands in for the same part of the quickstart; an unknown one is a problem there
        example = EXAMPLES / ("train.yaml" if set(data) <= TRAINING_PARTS else "screen.yaml")
        text = dump_yaml(parse_yaml(example.read_bytes(), str(example)).data | data)
    file = tmp_path / "campaign.yaml"
    file.write_text(text, encoding="utf-8")
    assert isinstance(load_any(file).spec, Spec)


# Shell


def commands_of(block: Block) -> str:
    """What is typed: all of a block, or the lines behind ``$`` where it shows answers too; no here-documents."""
    text = HEREDOC.sub(lambda match: match["command"], block.text).replace("\\\n", " ")
    if not re.search(r"^\$ ", text, re.MULTILINE):
        return text
    return "\n".join(line[2:] for line in text.splitlines() if line.startswith("$ "))


def simple_commands(text: str) -> Iterator[list[str]]:
    """Words of every simple command, without redirections and the variables set before it."""
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.commenters = "#"
        lexer.wordchars += "${}@%,[]:+…"
        words: list[str] = []
        skip = False
        for word in [*lexer, ";"]:
            if re.fullmatch(r"[;|&()]+", word):
                if words:
                    yield words
                words = []
            elif re.fullmatch(r"[<>]+", word):
                skip = True
                if words and words[-1].isdigit():  # of `2> run.log`
                    words.pop()
            elif skip:
                skip = False
            elif words or not re.match(r"\w+=", word):
                words.append(word)


def typed(block: Block) -> Iterator[list[str]]:
    """Command lines of a block by program, with those that another program starts (`kubectl exec … -- lingshu …`)."""
    for words in simple_commands(commands_of(block)):
        if words[0] == "env":
            words = shlex.split(re.sub(r"^env (-u \S+ |\w+=\S* )*", "", shlex.join(words)))
        program = words[0].rpartition("/")[2]
        yield [program, *words[1:]]
        inner = next((place for place, word in enumerate(words[1:], 1) if word == "lingshu"), None)
        if inner is not None and program != "lingshu":
            yield words[inner:]


def command_lines(*programs: str) -> list[Any]:
    return [
        pytest.param(block, words, id=f"{block.place} {shlex.join(words)[:50]}")
        for block in BLOCKS
        if block.language in SHELL
        for words in typed(block)
        if words[0] in programs
    ]


def options_of(command: str) -> set[str]:
    return {option for parameter in LINGSHU.commands[command].params for option in parameter.opts}


def parse(words: list[str]) -> None:
    """Read a command line of `lingshu` with the commands themselves; nothing runs.

    Raises
    ------
    UsageError
        As a user would get it.
    """
    left = [word for word in words[1:] if word != "--debug"]
    while left and left[0].startswith("-"):
        assert left.pop(0) in {"--help", *(option for each in LINGSHU.params for option in each.opts)}
    if not left:
        return  # options of `lingshu` alone
    LINGSHU.commands[left[0]].make_context(left[0], left[1:], parent=CONTEXT)


def refusal(words: list[str]) -> str:
    """What a user would get for a command line, or nothing if it can be read."""
    try:
        parse(words)
    except UsageError as error:
        return f"error: {usage_message(error)}"
    return ""


@pytest.mark.parametrize(("block", "words"), command_lines("lingshu"))
def test_a_command_line_can_be_read_or_gets_the_error_that_is_shown(block: Block, words: list[str]) -> None:
    assert refusal(words) in ["", *block.text.splitlines()]


def test_a_wrong_command_line_can_not_be_read() -> None:
    for line in ("lingshu run", "lingshu run a b", "lingshu run a --tpo 3", "lingshu hits a --format xml"):
        with pytest.raises(UsageError):
            parse(line.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_in_the_text_belong_to_their_command(page: Path) -> None:
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    named = [line.split() for line in re.findall(r"`lingshu ([a-z]+ [^`]*)`", prose)]
    wrong = [
        (command, word)
        for command, *words in named
        for word in words
        if word.startswith("-") and word not in {*options_of(command), "--help", "--debug"}
    ]
    assert not wrong


@pytest.mark.parametrize(("block", "words"), command_lines("make"))
def test_make_has_the_target(block: Block, words: list[str]) -> None:
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(words[1:]) <= set(targets)


@pytest.mark.parametrize(("block", "words"), command_lines("python"))
def test_python_is_asked_for_what_is_there(block: Block, words: list[str]) -> None:
    assert importlib.util.find_spec(words[2]) if words[1] == "-m" else (ROOT / words[1]).is_file()


@pytest.mark.parametrize(("block", "words"), command_lines("ray"))
def test_ray_knows_its_options(block: Block, words: list[str]) -> None:
    spec = importlib.util.find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    home = Path(spec.origin).parent
    source = "".join((home / place).read_text() for place in ("scripts/scripts.py", "dashboard/modules/job/cli.py"))
    own = words[1 : words.index("--")] if "--" in words else words[1:]
    options = {word.partition("=")[0] for word in own if word.startswith("--")}
    assert not {option for option in options if f'"{option}"' not in source}


@pytest.mark.parametrize(("block", "words"), command_lines("pip"))
def test_pip_is_asked_for_extras_that_exist(block: Block, words: list[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"lingshu-screen\[([\w,]+)\]", " ".join(words))
    assert {extra for names in named for extra in names.split(",")} <= extras.keys()


@pytest.mark.parametrize("block", written_in(*SHELL))
def test_programs_are_known_and_files_of_ours_exist(block: Block) -> None:
    checked = {"lingshu", "make", "python", *OUTSIDE}
    folder = ROOT
    for words in typed(block):
        assert words[0] in checked, "check it, or say in OUTSIDE why not"
        ours = [word for word in words if re.match(r"(deploy|campaigns/examples|docs)/", word)]
        ours += [word for word in words if words[0] == "promtool" and word.endswith(".yml")]
        assert all((folder / word).exists() for word in ours), ours
        if words[0] == "cd":
            folder = ROOT / words[1]


@pytest.mark.parametrize("block", written_in(*SHELL))
def test_json_in_a_here_document_can_be_read(block: Block) -> None:
    for match in HEREDOC.finditer(block.text):
        assert match["end"] == "JSON"
        json.loads(match["body"])


# JSON, TOML


@pytest.mark.parametrize("block", written_in("toml", "json"))
def test_toml_and_json_can_be_read(block: Block) -> None:
    assert (tomllib if block.language == "toml" else json).loads(block.text)


# Python


def some_cells() -> Any:
    """160 cells of two types as AnnData: controls, and STAT1 in one of the types."""
    import anndata

    rng = np.random.default_rng(0)
    cell_type = np.repeat(["B cells", "NK cells"], 80)
    perturbation = np.where((np.arange(160) % 80 < 30) & (cell_type == "B cells"), "STAT1", "control")
    obs = pd.DataFrame({"perturbation": perturbation, "cell_type": cell_type}, [f"cell-{n}" for n in range(160)])
    counts = sp.csr_matrix(rng.poisson(2.0, (160, 20)).astype(np.float32))
    return anndata.AnnData(counts, obs, pd.DataFrame(index=[f"GENE{n}" for n in range(20)]))


def cells_in_a_file(folder: Path) -> dict[str, Any]:
    some_cells().write_h5ad(folder / "my_cells.h5ad")
    return {}


def cells_in_memory(_: Path) -> dict[str, Any]:
    return {"cells": some_cells()}


def columns_of_tables() -> dict[str, Mapping[str, tuple[Any, str]]]:
    """What the published tables have in them, by their file."""
    from screening.answers import dose_response, interactions, pan_context, patients, safety, scaffolds, selective
    from screening.deciding import hits
    from screening.following_up.evidence_columns import CONDITION_COLUMNS, ITEM_COLUMNS

    factors = dict.fromkeys(("cell_type", "donor"), (pl.String, "a factor of the context"))
    return {
        "doses.parquet": dose_response.COLUMNS,
        "evidence.parquet": CONDITION_COLUMNS,
        "evidence_items.parquet": ITEM_COLUMNS,
        "hits.parquet": {**hits.COLUMNS, **factors},
        "interactions.parquet": interactions.COLUMNS,
        "pan_context.parquet": pan_context.COLUMNS,
        "patients.parquet": patients.COLUMNS,
        "safety.parquet": safety.COLUMNS,
        "scaffolds.parquet": scaffolds.COLUMNS,
        "selective.parquet": selective.COLUMNS,
    }


def empty_tables(folder: Path, code: str) -> None:
    """Lay every table that a page reads where it reads it, with the columns of the code and no rows."""
    for place in re.findall(r"""['"]([\w./-]+\.parquet)['"]""", code):
        columns = columns_of_tables()[Path(place).name]
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame(schema={name: kind for name, (kind, _) in columns.items()}).write_parquet(folder / place)


def predictions(_: Path) -> dict[str, Any]:
    """Predictions of 12 conditions to calibrate on, 4 to test, and the cells and shards of one more."""
    from lingshu_core.cells import Cells
    from lingshu_core.measured_effect import measured_effect
    from lingshu_core.uncertainty import Prediction

    cells = some_cells()
    depth = np.asarray(cells.X.sum(axis=1)).ravel().astype(float)
    read = Cells(cells.X, tuple(cells.var_names), cells.obs, depth, ("cell_type",), "control")
    masks = {"perturbed": ~read.is_control, "controls": read.is_control}
    rng = np.random.default_rng(1)
    measured = measured_effect(read, **masks)
    shards = rng.normal(0, 0.1, (17, 2, 8, 20))  # conditions, members, shards, genes
    answers = [Prediction.of_shards(f"condition {n}", f"group {n}", each, measured) for n, each in enumerate(shards)]
    return {"cells": read, **masks, "shards": shards[16], "calibration": answers[:12], "test": answers[12:16]}


def effects_of_all(folder: Path) -> dict[str, Any]:
    """Effects of three conditions where `results.md` reads them, and the name of one of them."""
    import anndata
    import zarr

    effects = pd.DataFrame(np.eye(3), ["first", "second", "third"], ["STAT1", "JAK2", "IRF1"])
    store = zarr.open_group(folder / "results" / "my-screen" / "effects.zarr", mode="w", zarr_format=3)
    with anndata.settings.override(zarr_write_format=3, auto_shard_zarr_v3=True):
        anndata.io.write_elem(store, "/", anndata.AnnData(effects))
    return {"condition": "second"}


STAGES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "baselines.md": cells_in_a_file,
    "metrics.md": cells_in_memory,
    "results.md": effects_of_all,
    "uncertainty.md": predictions,
}
"""Pages whose Python needs more than published tables: what lies there, and which names there are before it runs."""
WITH_PYTHON = {block.name for block in BLOCKS if block.language == "python"}


@pytest.mark.parametrize("page", sorted(WITH_PYTHON - {*RUN_ELSEWHERE, *NOT_RUN}))
def test_python_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine = [block for block in BLOCKS if block.name == page and block.language == "python"]
    empty_tables(tmp_path, "".join(block.text for block in mine))
    namespace = STAGES[page](tmp_path) if page in STAGES else {}
    for block in mine:
        exec(compile(block.text, block.place, "exec"), namespace)


def imported(tree: ast.Module) -> dict[str, Any]:
    """Names that a block imports from our packages."""
    names: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS:
            module = importlib.import_module(node.module or "")
            names |= {each.asname or each.name: getattr(module, each.name) for each in node.names}
    return names


@pytest.mark.parametrize("block", written_in("python"))
def test_python_compiles_and_calls_what_is_there(block: Block) -> None:
    tree = ast.parse(block.text, block.place)
    names = imported(tree) if block.name in NOT_RUN else {}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        called = names.get(call.func.id) if isinstance(call.func, ast.Name) else None
        if called is not None:
            given: dict[str, Any] = {each.arg: None for each in call.keywords if each.arg}
            inspect.signature(called).bind(*call.args, **given)
