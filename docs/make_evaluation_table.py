"""Write ``docs/evaluation-table.md`` from the units that `python -m benchmarks.evaluation` has committed.

``python docs/make_evaluation_table.py`` from the repository's root, with the data sets where LINGSHU_DATA says.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent / "evaluation-table.md"
HEAD = """# Evaluation table

Every set beside every baseline, as `python -m benchmarks.evaluation` measures it; [Benchmarks](benchmarks.md) says
what it comes to. Values are means over the perturbations (Kang: cell types, donors), medians over the training seeds
in the column *seeds*, with 95 % bootstrap intervals over what was held out; baselines have no chance in them and no
seed. T: steps, w: guidance. Differences are paired, positive where the model is better, *undecided* where their
interval holds zero or the signed-rank test can't tell. Six questions can hardly be decided by that test, five never.
`without-self` is the same model without self-conditioning, compared by the seeds that both have. A score of cell-eval2
is *scaled* (0: the mean response, 1: half of the real cells) only where half of the real cells are certainly better
than the mean response. Errors of depth are relative, of zeros and correlations absolute. The
metrics are explained in [Metrics](metrics.md).
"""


def main() -> None:
    """Print the tables and keep them as a page."""
    command = [sys.executable, "-m", "benchmarks.evaluation", "--table"]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    text = found.stdout.replace("\n### ", "\n## ").strip()
    PAGE.write_text(f"{HEAD}\n{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
