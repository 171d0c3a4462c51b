"""A document as one page that loads nothing from anywhere: the same content as the PDF, for screens and screen readers."""

from __future__ import annotations

import base64
from html import escape

from cloister.documents.content import (
    Bullets,
    Facts,
    Figure,
    Heading,
    Notice,
    PageBreak,
    Paper,
    Paragraph,
    Part,
    Picture,
    Table,
)
from cloister.documents.shapes import as_svg
from cloister.foundation.clock import rfc3339
from cloister.foundation.text import readable

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:60rem;margin:2rem auto;padding:0 1rem}
.wide{overflow-x:auto;margin:1rem 0}table{border-collapse:collapse}th,td{padding:.2rem .7rem .2rem 0;text-align:left;vertical-align:top}
th{border-bottom:2px solid #444}td{border-bottom:1px solid #ddd}.right{text-align:right}caption{text-align:left;font-weight:600}
.notice{border-left:.3rem solid #666;background:#f4f4f4;padding:.4rem 1rem;margin:1rem 0}.notice h2{margin:.2rem 0;font-size:1.1rem}
.good{border-color:#00694d;background:#e6f4ef}.bad{border-color:#a63c00;background:#fbeae0}.open{border-color:#8a6100;background:#fdf3dc}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{font-weight:600}dd{margin:0;overflow-wrap:anywhere}
svg,img{max-width:100%;height:auto}figure{margin:1rem 0;max-width:44rem}small,figcaption{color:#555}
@media print{.break{break-before:page}}
"""


def render(paper: Paper) -> bytes:
    """The document as HTML, UTF-8."""
    parts = [f"<h1>{_safe(paper.title)}</h1>"]
    if paper.subtitle:
        parts.append(f"<p>{_safe(paper.subtitle)}</p>")
    line = " · ".join(part for part in (paper.organisation, rfc3339(paper.made)) if part)
    parts.append(f"<p><small>{_safe(line)}</small></p>")
    parts += [_part(part) for part in paper.parts]
    if paper.digests:
        parts += [_part(Heading("Digests", 2)), _part(Facts(list(paper.digests.items())))]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width">'
        f"<title>{_safe(paper.title)}</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>"
    ).encode()


def _part(part: Part) -> str:
    match part:
        case Heading(text, level):
            return f"<h{level + 1}>{_safe(text)}</h{level + 1}>"
        case Paragraph(text, small):
            inner = _safe(text)
            return f"<p><small>{inner}</small></p>" if small else f"<p>{inner}</p>"
        case Bullets(lines):
            return f"<ul>{''.join(f'<li>{_safe(line)}</li>' for line in lines)}</ul>" if lines else ""
        case Notice(headline, lines, tone):
            below = "".join(f"<p>{_safe(line)}</p>" for line in lines)
            return f'<div class="notice {tone}"><h2>{_safe(headline)}</h2>{below}</div>'
        case Facts(pairs):
            return (
                f"<dl>{''.join(f'<dt>{_safe(name)}</dt><dd>{_safe(text)}</dd>' for name, text in pairs)}</dl>"
            )
        case Table():
            return _table(part)
        case Figure(drawing, caption):
            below = f"<figcaption>{_safe(caption)}</figcaption>" if caption else ""
            return f"<figure>{as_svg(drawing)}{below}</figure>"
        case Picture(data, alternative, caption):
            kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
            coded = base64.b64encode(data).decode("ascii")
            below = f"<figcaption>{_safe(caption)}</figcaption>" if caption else ""
            return f'<figure><img alt="{_safe(alternative)}" src="data:image/{kind};base64,{coded}">{below}</figure>'
        case PageBreak():
            return '<div class="break"></div>'


def _table(table: Table) -> str:
    align = table.align or ("left",) * len(table.columns)
    looks = [' class="right"' if side == "right" else "" for side in align]
    head = "".join(
        f'<th scope="col"{look}>{_safe(text)}</th>' for text, look in zip(table.columns, looks, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{look}>{_safe(text)}</td>" for text, look in zip(row, looks, strict=True))
        + "</tr>"
        for row in table.rows
    )
    caption = f"<caption>{_safe(table.caption)}</caption>" if table.caption else ""
    name = _safe(table.caption or "table")
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{name}"><table>{caption}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _safe(text: str) -> str:
    return escape(readable(text)).replace("\n", "<br>")
