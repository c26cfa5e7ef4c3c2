"""Tables as HTML, with their downloads as CSV and LaTeX: by the template that the page has them from."""

from crossfool.report.html.environment import make_environment
from crossfool.report.table import Table


def render_html(table: Table) -> str:
    """A table as HTML."""
    macros = make_environment().get_template("macros.html").module
    return str(macros.table(table, table.name))  # type: ignore[attr-defined]
