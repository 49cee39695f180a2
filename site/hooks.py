"""What the site has beside the pages of docs/: rendered reports, and files elsewhere that pages link to."""

import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "build" / "gallery"
_OUTSIDE = re.compile(r"\[([^\]]*)\]\(\.\./([^)#]+)(#[^)]*)?\)")


def on_files(files, config):
    for path in sorted(GALLERY.glob("*.html")):
        files.append(File.generated(config, f"gallery/{path.name}", abs_src_path=str(path)))
    linked = {
        match.group(2)
        for page in sorted(Path(config.docs_dir).glob("*.md"))
        for match in _OUTSIDE.finditer(page.read_text(encoding="utf-8"))
    }
    for name in sorted(linked):
        if (ROOT / name).is_file():
            files.append(File.generated(config, f"files/{name}", abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown, page, config, files):
    return _OUTSIDE.sub(_inside, markdown)


def _inside(match):
    text, name, anchor = match.groups()
    # A folder has no page.
    return f"[{text}](files/{name}{anchor or ''})" if (ROOT / name).is_file() else text
