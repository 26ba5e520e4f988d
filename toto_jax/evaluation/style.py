"""How a report looks: one column, system fonts, light or dark as the reader's system is."""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #ffffff; --text: #1f2430; --quiet: #626a7a; --line: #e3e6eb; --panel: #f6f7f9; --accent: #0072b2;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171c; --text: #e4e7ec; --quiet: #98a1b0; --line: #2b3039; --panel: #1c2027;
    --accent: #56b4e9;
  }
}
* { box-sizing: border-box; }
body {
  background: var(--ground); color: var(--text); font: 16px/1.6 var(--sans);
  margin: 0 auto; max-width: 900px; padding: 3.5rem 40px 6rem;
}
h1 {
  font-size: 2.4rem; letter-spacing: -0.02em; line-height: 1.15; margin: 0.2rem 0 1rem;
  overflow-wrap: anywhere;
}
h2 { font-size: 1.5rem; letter-spacing: -0.01em; margin: 4rem 0 0.4rem; }
h3 { font-size: 1.1rem; margin: 2.2rem 0 0.3rem; }
p { margin: 0.5rem 0 1rem; max-width: 44rem; overflow-wrap: break-word; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
code, pre { font-family: var(--mono); font-size: 0.86em; }
code { background: var(--panel); border-radius: 4px; overflow-wrap: anywhere; padding: 0.12em 0.35em; }
pre {
  background: var(--panel); border-radius: 8px; line-height: 1.5; overflow-x: auto; padding: 1rem 1.2rem;
}
nav {
  border-block: 1px solid var(--line); display: flex; flex-wrap: wrap; font-size: 0.92rem; gap: 0.3rem 1.4rem;
  margin: 2.2rem 0 0; padding: 0.7rem 0;
}
.eyebrow { color: var(--quiet); font-size: 0.85rem; margin: 0; }
.lede { font-size: 1.1rem; }
.tiles {
  display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); margin: 1.8rem 0;
}
.tile { background: var(--panel); border-radius: 12px; padding: 1rem 1.1rem; }
.tile strong {
  display: block; font-size: 1.75rem; font-weight: 600; letter-spacing: -0.02em; line-height: 1.2;
}
.tile span {
  color: var(--quiet); display: block; font-size: 0.85rem; line-height: 1.35; margin-top: 0.25rem;
}
figure { margin: 1.6rem 0 2rem; overflow-x: auto; }
figcaption {
  color: var(--quiet); font-size: 0.9rem; line-height: 1.5; margin-top: 0.5rem; max-width: 44rem;
}
figure img {
  border: 1px solid var(--line); border-radius: 8px; display: block; height: auto; max-width: 100%;
}
figure > svg { color: var(--text); display: block; height: auto; max-width: 100%; }
figure svg text { font-family: var(--sans) !important; }
@media (prefers-color-scheme: dark) { figure > svg { color: #bcc3ce; filter: brightness(1.25); } }
.smalls { display: grid; gap: 0 20px; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); }
.small { margin: 0.6rem 0 1.2rem; }
table {
  border-collapse: collapse; font-size: 0.93rem; font-variant-numeric: tabular-nums; margin: 1.4rem 0;
  min-width: 50%;
}
header table { width: 100%; }
figure table { margin: 0; }
th, td {
  border-bottom: 1px solid var(--line); padding: 0.42rem 2rem 0.42rem 0; text-align: left;
  vertical-align: top;
}
th { color: var(--quiet); font-size: 0.82rem; font-weight: 500; }
td.strong { font-weight: 600; white-space: nowrap; }
.spark { height: 22px; width: 100px; }
.spark polyline { fill: none; stroke: var(--accent); stroke-width: 1.6; }
.spark circle { fill: var(--accent); }
.missing {
  background: var(--panel); border-left: 3px solid var(--line); border-radius: 0 8px 8px 0;
  color: var(--quiet);
  font-size: 0.93rem; margin: 1rem 0; padding: 0.8rem 1.1rem;
}
.missing p { margin: 0; }
.missing pre { margin: 0.4rem 0 0; padding: 0; }
details { margin: 1rem 0; }
summary { color: var(--accent); cursor: pointer; }
footer {
  border-top: 1px solid var(--line); color: var(--quiet); font-size: 0.85rem; margin-top: 4rem;
  padding-top: 1rem;
}
@media (max-width: 600px) {
  body { padding: 2rem 18px 4rem; }
  th, td { padding-right: 1rem; }
  .plot:not(.small) > svg { max-width: none; width: 620px; }
}
@media print { details { display: none; } figure { break-inside: avoid; } }
"""
