"""The templates of the page, with the filters that they use."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from crossfool.report.html.data_uris import file_uri
from crossfool.report.html.short_names import breakable
from crossfool.report.renderers.csv_text import render_csv
from crossfool.report.renderers.latex import render_latex


def make_environment() -> Environment:
    """The environment of the templates: everything is escaped but what they themselves say."""
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.tests["endingwith"] = str.endswith
    environment.filters["broken"] = breakable
    environment.filters["csv_uri"] = lambda table: file_uri("text/csv", render_csv(table).encode())
    environment.filters["latex_uri"] = lambda table: file_uri("text/x-tex", render_latex(table).encode())
    return environment
