"""How a report looks: its colours, for light and dark, and its style sheet.

What lives here: CSS and nothing that comes from documents. What must not: a font, an image or
anything else that would have to be fetched.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Final

# What is drawn on what: each foreground reads on both backgrounds at 4.5 to 1 or more (WCAG AA).
BACKGROUNDS: Final = ("page", "panel")
COLOURS: Final[Mapping[str, Mapping[str, str]]] = {
    "light": {
        "page": "#ffffff",
        "panel": "#f4f5f7",
        "text": "#1b1f24",
        "muted": "#525a65",
        "link": "#0b57c2",
        "pass": "#16652f",
        "stated": "#5b4a9e",
        "unconfirmed": "#7a4f00",
        "fail": "#b3201a",
        "line": "#c5cad1",
    },
    "dark": {
        "page": "#14171c",
        "panel": "#1f242b",
        "text": "#e7e9ec",
        "muted": "#aeb6c0",
        "link": "#8ab8ff",
        "pass": "#79d493",
        "stated": "#c0b2f5",
        "unconfirmed": "#eec063",
        "fail": "#ff9a92",
        "line": "#444c57",
    },
}

_RULES: Final = """
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:64rem;background:var(--page);color:var(--text);
font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.2;margin:.5rem 0}
h2{font-size:1.2rem;margin:2rem 0 .5rem}
p{margin:.5rem 0}
code,.v{font-family:ui-monospace,monospace;font-size:.875em;unicode-bidi:isolate}
a{color:var(--link)}
a:focus-visible,summary:focus-visible{outline:3px solid var(--link);outline-offset:2px}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;list-style:none;margin:.75rem 0;padding:0}
nav a{display:inline-block;padding:.25rem 0}
header{border-left:.5rem solid var(--muted);padding-left:1rem}
header.fail{border-color:var(--fail)}header.pass{border-color:var(--pass)}
header.unconfirmed{border-color:var(--unconfirmed)}
.counts{display:grid;grid-template-columns:repeat(auto-fit,minmax(7.5rem,1fr));gap:.5rem;
margin:1rem 0}
.counts div{background:var(--panel);border-radius:.375rem;padding:.5rem .75rem}
.counts dt{font-size:.875rem;color:var(--muted)}
.counts dd{margin:0;font-size:1.25rem;font-weight:600}
.muted{color:var(--muted)}
.pass{color:var(--pass)}.stated{color:var(--stated)}.unconfirmed{color:var(--unconfirmed)}
.fail{color:var(--fail)}.skipped{color:var(--muted)}header{color:var(--text)}
ul.checks li{display:grid;grid-template-columns:6.5rem 1fr}
details{background:var(--panel);border-radius:.375rem;margin:.5rem 0}
summary{cursor:pointer;padding:.5rem .75rem}
summary code{word-break:break-all}
summary .n{font-size:.875rem;color:var(--muted)}
details details{margin-top:0;border-top:1px solid var(--line);border-radius:0}
details details summary{padding:.25rem 0}details details>:not(summary){margin:0}
details>:not(summary){margin-left:.75rem;margin-right:.75rem}
ul.checks{list-style:none;margin-top:0;margin-bottom:0;padding:0 0 .5rem}
ul.checks li{border-top:1px solid var(--line);padding:.25rem 0}
table{border-collapse:collapse;table-layout:fixed;width:calc(100% - 1.5rem);font-size:.9375rem}
caption{text-align:left;color:var(--muted);padding:.25rem 0}
th,td{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;
border-top:1px solid var(--line)}
th{font-size:.875rem;color:var(--muted)}
.events th{width:21%}.events th:last-child{width:auto}
.links th{width:24%}.links th:first-child,.links th:last-child{width:14%}
svg{display:block;width:100%;max-width:34rem;height:auto}
svg text{font:12px ui-monospace,monospace;fill:var(--text);unicode-bidi:isolate}
svg .sub{font-size:10px;fill:var(--muted)}
svg line{stroke-width:1.5}svg circle{fill:var(--text)}
svg .pass{stroke:var(--pass)}svg .stated{stroke:var(--stated);stroke-dasharray:7 3}
svg .unconfirmed{stroke:var(--unconfirmed);stroke-dasharray:4 4}
svg .fail{stroke:var(--fail);stroke-dasharray:1 3;stroke-width:3;stroke-linecap:round}
.legend{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;list-style:none;margin:.5rem 0;padding:0}
.legend svg{display:inline-block;width:2.5rem;vertical-align:middle;margin-right:.4rem}
@media(max-width:40rem){
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,caption,tbody,tr,td{display:block}
tr{border-top:1px solid var(--line);padding:.35rem 0}
td{border:0;padding:0;display:grid;grid-template-columns:6.5rem 1fr}
td::before{content:attr(data-label);color:var(--muted);font-size:.875rem}
ul.checks li{display:block}
}
@media print{body{max-width:none}nav{display:none}}
"""


def _variables(scheme: str) -> str:
    return ":root{" + "".join(f"--{name}:{rgb};" for name, rgb in COLOURS[scheme].items()) + "}"


STYLE: Final = (
    ":root{color-scheme:light dark}"
    + _variables("light")
    + f"@media(prefers-color-scheme:dark){{{_variables('dark')}}}"
    + _RULES
)

# With this a browser runs nothing and fetches nothing for the page, whatever stands in it.
POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode("utf-8")).digest()).decode("ascii")
    + "'"
)
