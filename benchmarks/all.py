"""All benchmarks, one after the other; each prints its tables."""

from __future__ import annotations

import subprocess
import sys

NAMES = (
    "start",
    "loading",
    "quickstart",
    "papalexi",
    "ensemble",
    "kang",
    "across_contexts",
    "patients",
    "new_context",
    "masking",
    "backbone",
    "variance",
    "scoring",
    "naive",
    "screen",
    "same_table",
    "embedding",
    "doubles",
    "drugs",
    "large_campaign",
    "unseen",
    "growth",
    "unconditional",
    "s3",
    "loader",
    "engine",
    "driver_memory",
    "paper_step",
)

if __name__ == "__main__":
    for name in NAMES:
        print(f"\n## {name}\n", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]], check=True)
