import json
from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns.errors import BudgetError, EmptyGridError, SpecError, VocabularyError
from lingshu_core.errors import CheckpointError
from screening.planning.campaign import PlannedCampaign, load_campaign, override, plan_campaign

WriteScreen = Callable[..., Path]


def plan(path: Path) -> PlannedCampaign:
    return plan_campaign(load_campaign(path))


def test_a_plan_has_a_readout_for_every_context(write_screen: WriteScreen) -> None:
    planned = plan(write_screen())
    assert [context.label for context in planned.readouts] == ["cell_type=type_1", "cell_type=type_2"]
    assert all(readout.used.sum() == 8 for readout in planned.readouts.values())
    assert len(planned.plan.conditions) == 24


def test_the_facts_of_a_run_are_those_of_spec_and_model(write_screen: WriteScreen) -> None:
    planned = plan(
        write_screen(
            seed=3, estimator={"shards": 8, "depth_strata": 4, "steps": 2, "guidance": 0.5, "schedule": "cosine"}
        )
    )
    facts = planned.facts
    assert (facts.seed, facts.steps, facts.guidance, facts.schedule) == (3, 2, 0.5, "cosine")
    assert facts.paths == "bias+tilt+pooled+depth+self"
    assert facts.run_id == planned.plan.run_id
    assert facts.model_digest == planned.campaign.model.digest


def test_nothing_but_what_decides_the_result_names_a_run(write_screen: WriteScreen, tmp_path: Path) -> None:
    first = plan(write_screen()).plan.run_id
    same = [
        plan(write_screen(output=str(tmp_path / "elsewhere"))).plan.run_id,
        plan(write_screen(name="named differently", compute={"backend": "ray", "replicas": 3})).plan.run_id,
    ]
    other = [
        plan(write_screen(seed=1)).plan.run_id,
        plan(write_screen(objective={"kind": "signature", "up": ["REG01"]})).plan.run_id,
        plan(write_screen(estimator={"shards": 8, "depth_strata": 4})).plan.run_id,
    ]
    assert set(same) == {first}
    assert len({first, *other}) == 4


def test_overrides_take_the_place_of_the_file(write_screen: WriteScreen) -> None:
    given = {"output": "s3://bucket/x", "replicas": 4, "backend": "ray"}
    spec = load_campaign(write_screen(), given).spec
    assert (spec.output, spec.compute.replicas, spec.compute.backend) == ("s3://bucket/x", 4, "ray")
    assert spec.compute.threads == 1


def test_overrides_that_are_not_given_change_nothing(write_screen: WriteScreen) -> None:
    spec = load_campaign(write_screen()).spec
    assert override(spec, {"output": None, "replicas": None}) is spec


@pytest.mark.parametrize(
    ("values", "fragment"),
    [
        ({"replicas": 3}, "`backend: in_process` has one replica"),
        ({"output": ""}, "command line (--output): "),
        ({"replicas": 0, "backend": "ray"}, "command line (--replicas, --backend): compute.replicas: must be greater"),
    ],
)
def test_overrides_that_do_not_fit_are_an_error_of_the_command_line(
    write_screen: WriteScreen, values: dict[str, object], fragment: str
) -> None:
    with pytest.raises(SpecError) as raised:
        load_campaign(write_screen(), values)
    assert fragment in str(raised.value)


def test_the_output_may_not_be_the_models_folder(write_screen: WriteScreen, tiny: Path) -> None:
    with pytest.raises(SpecError, match="is the model's folder"):
        load_campaign(write_screen(), {"output": str(tiny / "model")})


def test_without_a_model_nothing_can_be_planned(write_screen: WriteScreen, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="train one with `lingshu train`"):
        load_campaign(write_screen(model=str(tmp_path / "none")))


def test_what_the_model_does_not_know_is_refused_with_its_line(write_screen: WriteScreen) -> None:
    path = write_screen(perturbations={"genetic": ["REG04", "REG40"]})
    line = path.read_text().splitlines().index("  - REG40") + 1
    with pytest.raises(VocabularyError, match=rf"screen.yaml:{line}: perturbations.genetic\[1\]"):
        plan(path)


def test_a_budget_is_kept(write_screen: WriteScreen) -> None:
    with pytest.raises(BudgetError, match="24 conditions"):
        plan(write_screen(budget={"conditions": 23}))


def test_an_empty_grid_is_refused(write_screen: WriteScreen) -> None:
    with pytest.raises(EmptyGridError):
        plan(write_screen(perturbations={"cytokine": "all_seen"}))


def test_other_control_cells_are_another_run(write_screen: WriteScreen) -> None:
    planned = plan(write_screen())
    sets = planned.plan.control_sets
    assert len(set(sets.values())) == 2
    assert json.dumps(planned.plan.as_json())
