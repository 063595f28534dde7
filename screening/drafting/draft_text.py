"""The two files of a first campaign, as text with comments: what is in the data, what was decided, what else there is.

The text is YAML that a person goes on with, so it is written line by line and not dumped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from textwrap import wrap

import pandas as pd

from campaigns.errors import printable
from campaigns.grid import MIN_CONTROL_CELLS
from campaigns.yaml_source import dump_yaml
from lingshu_core.confounding import Confounding
from screening.confounders import consequence, is_warning
from screening.drafting.campaign_draft import CampaignDraft

LISTED = 12
"""Contexts and perturbations that are listed; of the others it is said how many there are."""
WIDTH = 118
FINDINGS = 4
"""Columns that go together of which is told; `lingshu doctor` has all."""
_PLAIN = re.compile(r"[A-Za-z./~][\w ./\-]*")
_AT = 40
_MEANINGS: Mapping[str, str] = {
    "perturbation": "what was done to the cell",
    "perturbation_type": "genetic, cytokine, drug or environment",
    "method": "how genes were perturbed",
    "dose": "dose, a positive number",
    "cell_type": "cell type or cell line",
    "donor": "donor, animal or individual",
    "batch": "batch; no part of the context",
    "depth": "total UMIs over all genes, of which the file has some",
}


def schema_line(kind: str) -> str:
    """Name the schema that lies beside the file, for editors."""
    return f"# yaml-language-server: $schema=schemas/{kind}.json"


def training_text(draft: CampaignDraft, name: str, folder: str, findings: Iterable[Confounding] = ()) -> str:
    """Write ``train.yaml``; paths are relative to the working directory, as `folder` is."""
    lines = [
        schema_line("train"),
        *_comment(
            f"Learn a cell model from {draft.survey.path}. Written by `lingshu new`; look through it, and go on."
        ),
        *_inventory(draft),
        "kind: train",
        f"name: {scalar(name)}",
        "",
        *_data(draft, findings),
        "",
        *_notes(draft, "null"),
        *_null(draft),
        "# All cells are learned from. To measure predictions on cells that training didn't see, hold some out:",
        *_hold_out(draft),
        "",
        "model:",
        _line("  configuration: direct", "no transformer, for a CPU; tiny, small or base: with one, for a GPU"),
        "",
        "training:",
        _line(
            f"  epochs: {_epochs(len(draft.obs))}", "passes over the cells; stops earlier when validation stops gaining"
        ),
        _line("  seed: 0", "seeds: 3 trains an ensemble, whose members' spread stands beside each score"),
        "",
        _line(f"output: {scalar(f'{folder}/model')}", "or s3://bucket/…"),
        _line("licence: not stated", "of the data; goes into the checkpoint"),
        _line("source: not stated", "where the data come from: an accession, a paper"),
    ]
    return "\n".join(lines) + "\n"


def screen_text(draft: CampaignDraft, name: str, folder: str) -> str:
    """Write ``screen.yaml``."""
    perturbed = draft.obs[draft.obs["perturbation"] != draft.control]
    lines = [
        schema_line("screen"),
        *_comment(
            f"{_asked(draft)} Written by `lingshu new`; the question below is a beginning, put yours in its place."
        ),
        "kind: screen",
        f"name: {scalar(name)}",
        _line(f"model: {scalar(f'{folder}/model')}", "what train.yaml writes"),
        "",
        *_screened_contexts(draft),
        "",
        "perturbations:",
        *(
            _line(
                f"  {kind}: all_seen",
                f"{count} of {perturbed['perturbation'].nunique()}; or a list: {_examples(draft, kind)}",
            )
            for kind, count in draft.types.items()
        ),
        "",
        *_notes(draft, "objective"),
        *_objective(draft),
        "",
        *_across(draft),
        "estimator:",
        _line("  kind: variance_reduced", "expectations; `sampled` draws cells"),
        "  steps: 6",
        _line("  shards: 8", "independent replicates: the standard error comes from them"),
        _line("  depth_strata: 16", "cells a replicate, spread over the depths of the control cells"),
        "",
        "# What it would take: `lingshu plan --pilot` measures. With a price, the plan says what it costs, too:",
        "# budget: {money: 50, price_per_hour: 2.5}   # an hour of one replica; a run stops when the money is spent",
        "",
        "seed: 0",
        _line(f"output: {scalar(f'{folder}/screen')}", "or s3://bucket/…"),
        "compute:",
        _line("  backend: ray", "starts a Ray cluster on this machine; in_process: none"),
        _line("  replicas: 1", "copies of the model that work at the same time"),
        _line("  gpus_per_replica: 0", "1 where there are GPUs"),
    ]
    return "\n".join(lines) + "\n"


def scalar(value: object) -> str:
    """Write a text so that YAML reads the same text again, plain where that is safe."""
    text = str(value)
    if _PLAIN.fullmatch(text) and not text.endswith(" ") and dump_yaml({"k": text}).rstrip("\n") == f"k: {text}":
        return text
    return json.dumps(text, ensure_ascii=False)


def _sequence(values: Iterable[object]) -> str:
    return f"[{', '.join(map(scalar, values))}]"


def _line(text: str, comment: str) -> str:
    return f"{text:<{_AT - 2}}  # {printable(comment)}" if comment else text


def _comment(text: str, indent: str = "") -> list[str]:
    """Break a comment into lines; what it quotes from the data can't end one."""
    return [f"{indent}# {line}" for line in wrap(printable(text), WIDTH - len(indent) - 2, break_on_hyphens=False)]


def _notes(draft: CampaignDraft, part: str, indent: str = "") -> list[str]:
    return [line for note in draft.notes.get(part, ()) for line in _comment(f"unsure: {note}", indent)]


def _inventory(draft: CampaignDraft) -> Iterator[str]:
    """List what is in the data: contexts and perturbations, with cells and controls."""
    controls = int((draft.obs["perturbation"] == draft.control).sum())
    sizes = draft.obs.loc[draft.obs["perturbation"] != draft.control, "perturbation"].value_counts()
    yield "#"
    types = ", ".join(f"{count} {kind}" for kind, count in draft.types.items())
    yield from _comment(
        f"In the data: {len(draft.obs):,} cells × {len(draft.survey.genes):,} genes; {controls:,} control cells,"
        f" {sizes.size:,} perturbation{'s' * (sizes.size > 1)} ({types})."
    )
    yield from _contexts(draft.contexts, draft.context)
    yield from _comment(f"Perturbations by cells: {_counted(sizes)}.")
    few = int((sizes < 20).sum())
    if few:
        yield from _comment(f"{few} of them have fewer than 20 cells: little can be learned of these.")
    yield "#"


def _contexts(table: pd.DataFrame, roles: tuple[str, ...]) -> Iterator[str]:
    few = table[table["controls"] < MIN_CONTROL_CELLS]
    yield from _comment(f"Contexts ({' × '.join(roles) or 'one: all cells'}), cells and controls among them:")
    width = max(len(printable(str(name))) for name in table.index[:LISTED])
    for name, row in table.head(LISTED).iterrows():
        mark = "  too few controls to be screened" if row["controls"] < MIN_CONTROL_CELLS else ""
        yield f"#   {printable(str(name)):<{width}}  {row['cells']:>9,}  {row['controls']:>9,}{mark}"
    if len(table) > LISTED:
        yield f"#   and {len(table) - LISTED:,} more"
    if len(few):
        yield from _comment(
            f"{len(few):,} of {len(table):,} contexts have fewer than {MIN_CONTROL_CELLS} control cells: they are"
            " learned from, and a screen leaves them out."
        )


def _counted(sizes: pd.Series) -> str:
    listed = ", ".join(f"{label} {count:,}" for label, count in sizes.head(LISTED).items())
    return listed + (f" and {sizes.size - LISTED:,} more" if sizes.size > LISTED else "")


def _data(draft: CampaignDraft, findings: Iterable[Confounding]) -> Iterator[str]:
    found = draft.survey
    yield "data:"
    yield _line(
        f"  path: {scalar(found.path)}", "" if _is_absolute(found.path) else "relative to the working directory"
    )
    yield from _notes(draft, "layer", "  ")
    if found.counts.layer is not None:
        yield _line(f"  layer: {scalar(found.counts.layer)}", "raw UMI counts")
    else:
        yield _line("  layer: null", "raw UMI counts are in X")
    yield _line(f"  control: {scalar(draft.control)}", "label of the control cells")
    yield from _notes(draft, "control", "  ")
    yield _line("  columns:", "what is meant: name of the column in obs")
    for role, column in draft.columns.items():
        meaning = _MEANINGS.get(role, "")
        yield _line(
            f"    {scalar(role)}: {scalar(column)}", "; ".join(filter(None, (meaning, draft.why.get(role, ""))))
        )
        yield from _notes(draft, role, "    ")
    if "perturbation_type" not in draft.columns:
        yield from _comment("without a perturbation_type column (genetic, cytokine, drug) all count as genetic", "    ")
    yield from _notes(draft, "columns", "    ")
    yield from _unnamed(draft)
    yield from _notes(draft, "context", "  ")
    yield _line(
        f"  context: {_sequence(draft.context)}", "what a screen tells apart" if draft.context else "one: all cells"
    )
    for finding in list(findings)[:FINDINGS]:
        mark = "careful" if is_warning(finding) else "note"
        yield from _comment(f"{mark}: {finding.text}; {consequence(finding)}", "  ")


def _is_absolute(path: str) -> bool:
    return "://" in path or PurePath(path).is_absolute()


def _unnamed(draft: CampaignDraft) -> Iterator[str]:
    others = [str(name) for name in draft.survey.obs if str(name) not in draft.columns.values()]
    if others:
        yield from _comment(f"not used: {', '.join(others[:20])}{' …' if len(others) > 20 else ''}", "    ")


def _null(draft: CampaignDraft) -> Iterator[str]:
    if not draft.null:
        return
    yield from _comment(
        "Groups of control cells that are trained as if they were perturbations: what nothing looks like. Decisions,"
        " p and q of a screen come from them."
    )
    by, groups = draft.null.get("by"), draft.null.get("groups")
    if isinstance(by, list):
        yield "pseudo_perturbations:"
        yield _line(f"  by: {_sequence(by)}", "the control cells of each value are a group")
    else:
        yield f"pseudo_perturbations: {{groups: {groups}}}"
    yield ""


def _hold_out(draft: CampaignDraft) -> Iterator[str]:
    label = draft.obs.loc[draft.obs["perturbation"] != draft.control, "perturbation"].value_counts().index[0]
    match = {role: draft.obs[role].value_counts().index[0] for role in draft.context[:1]} | {"perturbation": label}
    yield "# hold_out:"
    yield f"#   - {{{', '.join(f'{role}: {scalar(value)}' for role, value in match.items())}}}"


def _epochs(cells: int) -> int:
    """Return passes enough for 600,000 cells, of the first thousands 30: what the examples converge in."""
    return max(4, min(30, 600_000 // max(cells, 1)))


def _asked(draft: CampaignDraft) -> str:
    question = draft.question
    if question.mimic is not None:
        return f"Which perturbations do to the cells what {question.mimic} does, and in which contexts?"
    return "Which perturbations move these genes, and in which contexts?"


def _screened_contexts(draft: CampaignDraft) -> Iterator[str]:
    table = draft.contexts
    usable = int((table["controls"] >= MIN_CONTROL_CELLS).sum())
    everything = f"the {usable:,} context{'s' * (usable != 1)} with {MIN_CONTROL_CELLS} control cells or more"
    if draft.screened.why:
        yield from _pooled_contexts(draft, everything)
        return
    yield _line("contexts: all_seen", everything)
    if draft.context:
        value = draft.obs[draft.context[0]].value_counts().index[0]
        yield from _comment(
            f"or some of them: contexts: {{{draft.context[0]}: {_sequence([value])}}}; a factor left out"
            " is averaged over"
        )


def _pooled_contexts(draft: CampaignDraft, everything: str) -> Iterator[str]:
    """Write contexts that are fewer than all, and why they are."""
    screened = draft.screened
    averaged = [role for role in draft.context if role not in screened.factors]
    yield from _comment(
        f"Fewer contexts than there are: {screened.why}. All of them are `contexts: all_seen`, {everything}."
        " Without pseudo_perturbations in train.yaml there is no such work, and no q-values."
    )
    yield "contexts:"
    for role in screened.factors:
        values = _sequence(screened.values) if screened.values else "all_seen"
        yield _line(f"  {scalar(role)}: {values}", f"{' and '.join(averaged)}: averaged over" if averaged else "")


def _across(draft: CampaignDraft) -> Iterator[str]:
    """Say which factor hits are compared across: with several that vary, a screen needs to be told."""
    varying = [role for role in draft.screened.factors if draft.obs[role].nunique() > 1]
    if len(varying) > 1:
        others = ", ".join(varying[1:])
        yield _line(
            f"across: {{factor: {scalar(varying[0])}}}", f"hits in all and in single ones of these; or {others}"
        )
        yield ""


def _examples(draft: CampaignDraft, kind: str) -> str:
    own = draft.obs.loc[draft.obs["perturbation_type"] == kind, "perturbation"].value_counts()
    return _sequence(own.index[:2])


def _objective(draft: CampaignDraft) -> Iterator[str]:
    yield "objective:"
    yield "  kind: signature"
    question = draft.question
    if question.mimic is None:
        for name, genes in (("up", question.up), ("down", question.down)):
            if genes:
                yield f"  {name}: {_sequence(genes)}"
    else:
        yield from _reference(draft, question.mimic)
    yield from _comment(
        "Other questions: genes by name (up: [A, B], down: [C]), a gene set (gene_set: {file: hallmark.gmt,"
        " name: HALLMARK_…, direction: down}), mode: reverse, from a healthy to a diseased group of cells; see"
        " docs/objectives.md.",
        "  ",
    )


def _reference(draft: CampaignDraft, label: str) -> Iterator[str]:
    measured = f": {draft.question.genes:,} genes differ" if draft.question.genes else ""
    yield _line("  reference:", f"the difference between two groups of real cells{measured}")
    yield _line("    mode: mimic", "like it; reverse: against it")
    yield "    data:"
    yield f"      path: {scalar(draft.survey.path)}"
    if draft.survey.counts.layer is not None:
        yield f"      layer: {scalar(draft.survey.counts.layer)}"
    yield f"      control: {scalar(draft.control)}"
    yield "      columns:"
    within = draft.question.within
    for role in ("perturbation", "perturbation_type", "method", "depth", *within):
        if role in draft.columns:
            yield f"        {scalar(role)}: {scalar(draft.columns[role])}"
    here = "".join(f", {scalar(role)}: {scalar(value)}" for role, value in within.items())
    yield f"    from: {{perturbation: {scalar(draft.control)}{here}}}"
    yield f"    to: {{perturbation: {scalar(label)}{here}}}"
