"""Tables as LaTeX in booktabs' style."""

from crossfool.report.table import Cell, Table

STARRED, SMALL = "$^{*}$", r"{\scriptsize %s}"
LATEX = {  # character -> the LaTeX source that prints it
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "“": "``",
    "”": "''",
    "α": r"$\alpha$",
    "ε": r"$\varepsilon$",
    "μ": r"$\mu$",
    "σ": r"$\sigma$",
    "×": r"$\times$",
    "−": "$-$",
    "→": r"$\rightarrow$",
    "✓": "yes",
    "✗": "no",
    "≤": r"$\leq$",
    "ρ": r"$\rho$",
    "∞": r"$\infty$",
    "†": r"$\dagger$",
    "\n": " ",
    "\u00a0": "~",
    "–": "--",
    "…": r"\ldots{}",
}


def render_latex(table: Table) -> str:
    """A table as a floating LaTeX table; title and notes are its caption."""
    grid = table.grid
    rows = [[latex_escaped(head), *map(_cell, cells)] for head, cells in grid.lines]
    align = "l" + "".join("r" if number else "l" for number in grid.numeric)
    legend = ("Asterisks mark white-box cells, whose source has the target in it.",) if grid.starred else ()
    caption = " ".join(_sentence(part) for part in (table.title, *table.all_notes, *legend))
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_escaped(caption)}}}",
        rf"\label{{tab:{''.join(sign if sign.isalnum() and sign.isascii() else '-' for sign in table.name)}}}",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        f"{' & '.join(map(latex_escaped, grid.heads))} \\\\",
        r"\midrule",
        *(f"{' & '.join(row)} \\\\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def latex_escaped(text: str) -> str:
    """The LaTeX source that prints a text."""
    return "".join(LATEX.get(sign, sign) for sign in text)


def _cell(cell: Cell) -> str:
    """The LaTeX source of a cell: text, asterisk, small text, the paper's figure."""
    text = rf"\textbf{{{latex_escaped(cell.text)}}}" if cell.stressed else latex_escaped(cell.text)
    parts = [text + (STARRED if cell.whitebox else "")]
    parts += [SMALL % latex_escaped(cell.under)] if cell.under else []
    parts += [f"({cell.paper})"] if cell.paper else []
    return " ".join(part for part in parts if part)


def _sentence(text: str) -> str:
    """The text with a full stop, unless it ends with a mark already."""
    return text if text.endswith((".", "!", "?")) else f"{text}."
