"""Look into a wheel and an sdist: everything that is used at run time is there, and nothing that isn't ours to ship."""

import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("actors", "campaigns", "lingshu_core", "screening")
IN_SDIST = (
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "constraints.txt",
    "docs/plugins.md",
    "tests/conftest.py",
)


def check(wheel: str, sdist: str) -> list[str]:
    """Return what is wrong, a line each."""
    shipped = set(zipfile.ZipFile(wheel).namelist())
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()]
    wanted = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    found = [f"the wheel lacks {name}" for name in sorted(wanted - shipped)]
    found += [f"the wheel lacks {package}/py.typed" for package in PACKAGES if f"{package}/py.typed" not in shipped]
    for what, least in (("campaigns/schemas/", 5), ("campaigns/examples/", 10), ("screening/templates/", 2)):
        if sum(name.startswith(what) for name in shipped) < least:
            found.append(f"the wheel has fewer than {least} files in {what}")
    foreign = {name.partition("/")[0] for name in shipped} - set(PACKAGES)
    found += [f"the wheel has {name}" for name in sorted(foreign) if not name.endswith(".dist-info")]
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in shipped):
        found.append("the wheel lacks LICENSE")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    return found + [f"the sdist lacks {name}" for name in IN_SDIST if name not in inside]


if __name__ == "__main__":
    problems = check(*sys.argv[1:])
    print("\n".join(problems) or f"{Path(sys.argv[1]).name} and {Path(sys.argv[2]).name} hold what they should")
    sys.exit(1 if problems else 0)
