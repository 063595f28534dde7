import subprocess
import sys


def test_a_replica_of_a_network_imports_nothing_that_only_training_needs() -> None:
    asked = (
        "import sys, screening.running.worker; print(*{'anndata', 'scipy.stats', 'pandas', 'polars'} & {*sys.modules})"
    )
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert said.stdout.split() == []
