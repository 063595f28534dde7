"""Styles and scripts that a page carries inside it, and the policy that lets it use nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files

from markupsafe import Markup

from screening.errors import ReportError

_EXPORT = re.compile(r"\bexport\s*\{(?:[^{}]*,)?\s*([\w$]+) as default\s*(?:,[^{}]*)?\}\s*;?")
BUNDLE = "html/dt_bundle.js"
"""DataTables as the package itables ships it."""


def asset(name: str) -> str:
    """Read a file of ours beside the templates."""
    return files("screening").joinpath("templates", name).read_text(encoding="utf-8")


def style(*names: str) -> Markup:
    """Return style sheets of ours as the text of one ``<style>``."""
    return Markup("\n".join(map(asset, names)))


def table_script(name: str) -> Markup:
    """Return DataTables and a script of ours that takes it, as the text of one ``<script type="module">``.

    The bundle is a module. Inline nothing can import it, so its export becomes the argument of our function.

    Raises
    ------
    ReportError
        If the installed itables ships something else.
    """
    code, constructor = _bundle()
    return Markup(f"{code};\n({asset(name)})({constructor});\n")


def policy(styles: Iterable[str] = (), scripts: Iterable[str] = ()) -> str:
    """Return a Content-Security-Policy: only these texts run and style, pictures are in the page, nothing is fetched.

    Parameters
    ----------
    styles, scripts
        The texts between the tags, to the letter.
    """
    parts = [f"{name}-src {_sources(texts)}" for name, texts in (("script", scripts), ("style", styles))]
    return "; ".join(["default-src 'none'", *parts, "img-src data:", "base-uri 'none'", "form-action 'none'"])


def _sources(texts: Iterable[str]) -> str:
    found = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts]
    return " ".join(found) or "'none'"


@lru_cache(maxsize=1)
def _bundle() -> tuple[str, str]:
    """Read the bundle: its code without the export, licences included, and the name of the constructor in it."""
    code = files("itables").joinpath(BUNDLE).read_text(encoding="utf-8")
    export = _EXPORT.search(code)
    if export is None:
        raise ReportError(
            f"itables ships a {BUNDLE} that exports no DataTables; install the version that constraints.txt names"
        )
    return _inline(code[: export.start()] + code[export.end() :]), export[1]


def _inline(code: str) -> str:
    """Write what would end a script, or hide its end, in another way that means the same in texts and patterns."""
    return code.replace("<!--", r"\x3C!--").replace("<script", r"\x3Cscript").replace("</script", r"\x3C/script")
