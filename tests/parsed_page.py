"""The HTML page of a report, parsed: its tags, its tables as texts, its links and downloads."""

from html.parser import HTMLParser
from urllib.parse import unquote


class Parsed(HTMLParser):
    """Contents of a page: its tags with their attributes, its tables as texts, and where each link leads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.captions: list[str] = []
        self._rows: list[list[str]] = []
        self._open: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self._rows = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
            self._open = tag
        elif tag == "caption":
            self.captions.append("")
            self._open = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self.tables[self.captions[-1]] = self._rows
        elif tag in ("td", "th", "caption"):
            self._open = None

    def handle_data(self, data: str) -> None:
        if self._open == "caption":
            self.captions[-1] += data
        elif self._open:
            self._rows[-1][-1] += data

    def table(self, start: str) -> list[list[str]]:
        """The table whose caption starts so."""
        (found,) = [rows for caption, rows in self.tables.items() if caption.startswith(start)]
        return [[" ".join(cell.split()) for cell in row] for row in found]

    def attributes(self, tag: str, name: str) -> list[str]:
        return [given[name] or "" for one, given in self.tags if one == tag and name in given]

    def file(self, name: str) -> str:
        """The content of a download link."""
        (link,) = {given["href"] for tag, given in self.tags if tag == "a" and given.get("download") == name}
        assert link is not None
        return unquote(link.split(",", 1)[1])
