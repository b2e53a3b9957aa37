"""Hooks of mkdocs: pages beside docs/ are pages of the site too, other files are links to the repository."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "k8s/README.md": "kubernetes.md",
    "examples/README.md": "examples.md",
    "SECURITY.md": "report.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""Where each of those is on the site."""
LINK = re.compile(r"(\]\(<?)(?![a-z]+:|#)([^)\s#>]+)(#[^)\s>]*)?(>?\))")


def on_files(files: Files, config: Any) -> Files:
    """Add them."""
    for source, page in PAGES.items():
        files.append(
            File.generated(config, page, content=rewritten((ROOT / source).read_text(), source, config))
        )
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Turn links out of docs/ into links to other pages or to the repository."""
    if page.file.src_uri in PAGES.values():
        return markdown  # they have been rewritten already
    return rewritten(markdown, f"docs/{page.file.src_uri}", config)


def rewritten(text: str, source: str, config: Any) -> str:
    """The text of a file of the repository with links as the site needs them."""
    here = PAGES.get(source) or source.removeprefix("docs/")

    def target(found: re.Match[str]) -> str:
        before, link, anchor, after = found[1], found[2], found[3] or "", found[4]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        if path in PAGES or (path.startswith("docs/") and path.endswith(".md")):
            page = PAGES.get(path) or path.removeprefix("docs/")
            there = posixpath.relpath(page, posixpath.dirname(here) or ".")
        else:
            there = f"{config['repo_url'].rstrip('/')}/blob/main/{path}"
        return f"{before}{there}{anchor}{after}"

    return LINK.sub(target, text)
