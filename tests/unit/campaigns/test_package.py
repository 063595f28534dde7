from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import campaigns

ROOT = Path(campaigns.__file__).parent.parent
HEAVY = ("torch", "ray", "numpy", "pandas", "scipy", "anndata", "h5py", "fsspec", "polars", "pyarrow", "rich", "typer")


def test_exported_names_exist_and_are_sorted() -> None:
    assert all(hasattr(campaigns, name) for name in campaigns.__all__)
    constants, classes, functions = (
        [name for name in campaigns.__all__ if test(name)]
        for test in (str.isupper, lambda name: name[0].isupper() and not name.isupper(), str.islower)
    )
    assert [*constants, *sorted(classes), *sorted(functions)] == campaigns.__all__


def test_validating_a_file_imports_nothing_heavy() -> None:
    code = (
        "import sys, campaigns\n"
        "campaigns.load_screen('campaigns/examples/papalexi/screen.yaml', {})\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_validating_a_file_is_fast() -> None:
    # CPU time, since other processes share the machine; measured .19 s with the import of pydantic.
    code = (
        "import time\nimport campaigns\n"
        "campaigns.load_screen('campaigns/examples/papalexi/screen.yaml', {})\nprint(time.process_time())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.5
