"""Hook of MkDocs: pages of the site from files outside docs/, and links between them.

README.md is the front page. Links are written as in the repository, where they work, too; a link to a file without a
page, such as a module, becomes its label.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add README.md, the changelog and the experiments' pages."""
    pages = {"index.md": ROOT / "README.md", "changelog.md": ROOT / "CHANGELOG.md"}
    for path in sorted(ROOT.glob("experiments/**/README.md")):
        pages[path.relative_to(ROOT).as_posix()] = path
    for uri, path in pages.items():
        files.append(File.generated(config, uri, abs_src_path=str(path)))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace links to files of the repository by links to their pages."""
    uris = {Path(file.abs_src_path): file.src_uri for file in files if file.abs_src_path}
    folder, start = Path(str(page.file.abs_src_path)).parent, posixpath.dirname(page.file.src_uri)

    def link(match: re.Match[str]) -> str:
        label, place, anchor = match.groups()
        target = (folder / place).resolve()
        if re.match("[a-z]+:", place) or not (target in uris or target.exists()):
            return match[0]  # another site's, or broken, which strict mode refuses
        if target not in uris:
            return str(label)
        return f"[{label}]({posixpath.relpath(uris[target], start)}{anchor or ''})"

    return LINK.sub(link, markdown)
