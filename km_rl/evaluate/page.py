"""The report as one HTML page that fetches nothing: its figures are inside it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from string import Template
from typing import NamedTuple

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --paper: #ffffff; --ink: #2a2a2a; --soft: #6b6b6b;
        --line: #e3e3e3; --tint: #f5f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #141414; --ink: #e2e2e2; --soft: #9a9a9a; --line: #303030; --tint: #1e2022; }
  img:not(.photo) { filter: invert(.92) hue-rotate(180deg); }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
       font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 3.5rem 1.5rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.2rem; margin: 3.2rem 0 .3rem; }
p { max-width: 44rem; margin: .4rem 0 .9rem; }
.lead { font-size: 1.15rem; }
.soft, figcaption, footer { color: var(--soft); }
figure { margin: 0; }
figcaption { max-width: 44rem; margin: .4rem 0 1rem; }
img { display: block; width: 100%; height: auto; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .875rem;
        font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .6rem; text-align: right; border-bottom: 1px solid var(--line);
         vertical-align: bottom; }
th { font-weight: 600; color: var(--soft); }
td { white-space: nowrap; vertical-align: top; }
td.words { white-space: normal; text-align: left; }
th.words { text-align: left; }
th:first-child, td:first-child { text-align: left; padding-left: 0; font-weight: 600; }
tr.own td { background: var(--tint); }
tr.own td:first-child { padding-left: .6rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: 1rem 0;
     font-size: .9rem; }
dt { color: var(--soft); }
dd { margin: 0; }
code { font: .875em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
footer { margin-top: 4rem; padding-top: 1rem; border-top: 1px solid var(--line);
         font-size: .875rem; }
</style>
</head>
<body>
<main>
$body
</main>
</body>
</html>
""")


class Row(NamedTuple):
    """Cells of a table's row; ``own`` sets it off as this run's among others'."""

    cells: Sequence[str]
    own: bool = False


def page(title: str, parts: Sequence[str]) -> str:
    """The whole page from parts that are HTML already."""
    return PAGE.substitute(title=escape(title), body="\n".join(parts))


def element(tag: str, text: str, css: str = "") -> str:
    """Plain text as an element."""
    attribute = f' class="{css}"' if css else ""
    return f"<{tag}{attribute}>{escape(text)}</{tag}>"


def table(head: Sequence[str], rows: Sequence[Row], words: Sequence[int] = ()) -> str:
    """A table of plain text, numbers to the right; the columns in ``words`` hold prose."""
    css = ["words" if column in words else "" for column in range(len(head))]
    lines = [_line("th", head, css)]
    lines += [_line("td", row.cells, css, "own" if row.own else "") for row in rows]
    return f'<div class="wide"><table>\n{"".join(lines)}</table></div>'


def _line(tag: str, cells: Sequence[str], css: Sequence[str], own: str = "") -> str:
    inner = "".join(element(tag, cell, one) for cell, one in zip(cells, css, strict=True))
    return f'<tr class="{own}">{inner}</tr>\n' if own else f"<tr>{inner}</tr>\n"


def facts(named: Sequence[tuple[str, str]]) -> str:
    """A list of names and what they are."""
    return f"<dl>{''.join(element('dt', n) + element('dd', v) for n, v in named)}</dl>"


def figure(title: str, caption: str, png: bytes, photos: bool = False) -> str:
    """A section of a title, a caption and a picture; one of photos is not inverted at night."""
    data = base64.b64encode(png).decode()
    css = ' class="photo"' if photos else ""
    return (
        f"<section>{element('h2', title)}<figure>{element('figcaption', caption)}"
        f'<img{css} alt="{escape(title)}" src="data:image/png;base64,{data}"></figure></section>'
    )
