"""tables.md: the report's tables under their sections, as one Markdown file."""

from collections.abc import Iterator, Mapping, Sequence

from crossfool.experiment.descriptions import attacked_images_summary, count_compared_images
from crossfool.report.findings import Findings
from crossfool.report.renderers.markdown import render_markdown
from crossfool.report.reported.protocol_rates import reporter
from crossfool.report.sections import SECTIONS, Section, section_note, section_title
from crossfool.report.table import Table


def tables_text(findings: Findings, tables: Mapping[str, Sequence[Table]]) -> str:
    """The text of tables.md.

    Args:
        findings: The experiment's.
        tables: Section -> its tables.
    """
    parts = [
        f"# Transferability on {findings.experiment.dataset.name}",
        f"{attacked_images_summary(findings.results)}. All rates are percent of these images, with Wilson 95% "
        f"intervals in brackets. In parentheses: {reporter(findings.experiment)}'s figure. Each table is in `tables/`, "
        "too, as CSV and as LaTeX.",
    ]
    for section in SECTIONS:
        parts += _section(section, findings, tables[section.name])
    return "\n\n".join(parts) + "\n"


def _section(section: Section, findings: Findings, tables: Sequence[Table]) -> Iterator[str]:
    """The paragraphs of a section; none where it has nothing to say."""
    readable = [table for table in tables if table.readable]
    if section.folded:
        named = [f"- `tables/{table.name}.csv`: {table.title}" for table in tables if table.rows]
        if named:
            yield f"## {section_title(section, findings.results)}"
            yield "\n".join(named)
        return
    missing = section.compared and not count_compared_images(findings.results)
    if not readable and not missing:
        return
    yield f"## {section_title(section, findings.results)}"
    if note := section_note(section, findings.results):
        yield note
    for table in readable:
        yield f"### {table.title}"
        if table.all_notes:
            yield " ".join(table.all_notes)
        yield render_markdown(table)
