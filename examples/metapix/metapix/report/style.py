"""The report's style sheet: system fonts, light and dark, from a phone to a wide screen and to paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1d2126; --soft: #59606a; --rule: #e3dfd6; --tint: #e4f2ef; --accent: #0a6f68;
  --c0: #0a7d74; --c1: #c2481a; --c2: #8a6a00; --c3: #7a4fa3; --c4: #5b6470; --c5: #2b62b8;
  --serif: ui-serif, "Iowan Old Style", Charter, Georgia, Cambria, "Liberation Serif", serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181b; --card: #1c2024; --ink: #ebe8e2; --soft: #a5abb3; --rule: #32373d; --tint: #173a37; --accent: #62cfc3;
    --c0: #4fd1c1; --c1: #ff9466; --c2: #e0b93f; --c3: #c3a0ea; --c4: #aeb6c0; --c5: #86b1f7;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.6 var(--sans); overflow-wrap: break-word; }
main { max-width: 66rem; margin: 0 auto; padding: 2.5rem clamp(1rem, 4vw, 2.5rem) 5rem; }
h1, h2, h3 { font-family: var(--serif); font-weight: 600; line-height: 1.2; text-wrap: balance; }
h1 { font-size: clamp(1.9rem, 1.4rem + 2.4vw, 2.9rem); letter-spacing: -0.015em; margin: 0 0 1.6rem; }
h2 { font-size: 1.65rem; margin: 4.5rem 0 0.8rem; padding-top: 1.1rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1.2rem; margin: 2.8rem 0 0.4rem; }
h2 + h3 { margin-top: 1.4rem; }
h3 small { font: 400 0.95rem var(--sans); color: var(--soft); }
p, dl { max-width: 44rem; }
a { color: var(--accent); text-underline-offset: 0.2em; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; border-radius: 3px; }
.eyebrow { margin: 0 0 0.5rem; color: var(--soft); font-size: 0.9rem; letter-spacing: 0.02em; }
.soft, figcaption, .note { color: var(--soft); font-size: 0.92rem; }
.verdict { font: 400 clamp(1.2rem, 1.05rem + 0.75vw, 1.5rem)/1.45 var(--serif); margin: 2rem 0 1.2rem; max-width: 46rem; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.35rem 1.3rem; list-style: none; margin: 0; padding: 0; font-size: 0.95rem; }
figure { margin: 0; }
figcaption { margin-top: 0.6rem; max-width: 44rem; }
figcaption strong { color: var(--ink); font-weight: 600; }
video { display: block; width: 100%; max-height: min(74vh, 44rem); object-fit: contain; border-radius: 10px; }
.clips { display: grid; gap: 1.6rem; grid-template-columns: repeat(auto-fit, minmax(min(17rem, 100%), 1fr)); margin-top: 1.6rem; }
.clips video { max-height: 24rem; }
.scroll { position: relative; overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.95rem; }
.scores, .people, .cost, .settings { width: 100%; }
caption { text-align: left; color: var(--soft); font-size: 0.9rem; padding-bottom: 0.5rem; }
caption span { position: sticky; left: 0; display: inline-block; max-width: min(44rem, 86vw); }
th, td { padding: 0.55rem 0.75rem; text-align: right; border-bottom: 1px solid var(--rule); vertical-align: baseline; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0.6rem; }
thead th { color: var(--soft); font-weight: 500; font-size: 0.86rem; line-height: 1.35; white-space: normal;
  border-bottom-color: var(--soft); }
tbody th { font-weight: 500; white-space: normal; min-width: 10rem; }
tbody th small { display: block; color: var(--soft); font-weight: 400; font-size: 0.84rem; line-height: 1.35; }
.scores th:first-child { position: sticky; left: 0; background: var(--paper); }
details .scores th:first-child { background: var(--card); }
td small { color: var(--soft); font-size: 0.84em; }
td.best { background: var(--tint); font-weight: 650; box-shadow: inset 0 -2px var(--accent); }
td.best small { font-weight: 400; color: var(--ink); }
.words { text-align: left; }
.people td, .people th, .settings td { text-align: left; white-space: normal; }
.settings td { overflow-wrap: anywhere; }
.settings th { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; font-size: 0.85rem; font-weight: 400; }
.cost td.bar { width: 50%; text-align: left; }
.cost td.bar span { display: block; height: 0.6rem; min-width: 2px; border-radius: 2px; background: var(--c0); }
.metrics { display: grid; gap: 0.9rem 2.2rem; grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); max-width: none;
  margin: 1.4rem 0; font-size: 0.92rem; line-height: 1.5; }
.metrics dt { font-weight: 600; }
.metrics dd { margin: 0; color: var(--soft); }
.strip { font-size: 0.9rem; table-layout: fixed; width: 100%;
  min-width: calc(var(--columns) * 5.6rem); max-width: calc(var(--columns) * 11rem); }
.strip th { text-align: center; border: 0; padding: 0 0.25rem 0.45rem; white-space: normal; min-width: 0; vertical-align: bottom; }
.strip td { border: 0; padding: 0.25rem; }
.strip th:first-child, .strip td:first-child { text-align: center; padding-left: 0.25rem; }
.strip img { display: block; width: 100%; height: auto; border-radius: 5px; }
.plots { display: grid; gap: 1.8rem 2.2rem; grid-template-columns: repeat(auto-fit, minmax(min(17.5rem, 100%), 1fr)); margin: 1.2rem 0; }
.plots figure { max-width: 28rem; }
.plots .dots { max-width: 23rem; }
.plots h3, .plots h4 { margin: 0 0 0.5rem; font: 600 0.95rem var(--sans); }
.plot { display: block; width: 100%; height: auto; overflow: visible; }
.plot text { font: 11.5px var(--sans); fill: var(--soft); font-variant-numeric: tabular-nums; }
.plot .name { fill: var(--ink); font-weight: 500; }
.grid { stroke: var(--rule); }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); }
.c3 { --c: var(--c3); } .c4 { --c: var(--c4); } .c5 { --c: var(--c5); }
.mark { fill: var(--c); stroke: var(--c); stroke-width: 1.6; }
.mark.hollow { fill: var(--paper); }
.mark .stroke { stroke-width: 2.2; stroke-linecap: round; }
.mark.hollow .stroke { stroke-width: 1.2; }
.line { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; }
.line.hollow { stroke-dasharray: 5 4; }
.band { fill: var(--c); opacity: 0.13; }
.claims { list-style: none; margin: 1.2rem 0; padding: 0; }
.claims li { border-left: 3px solid var(--rule); padding: 0.1rem 0 0.1rem 1rem; margin: 0 0 1.4rem; max-width: 46rem; }
.claims li.holds { border-color: var(--c0); }
.claims li.fails { border-color: var(--c1); }
.claims p { margin: 0 0 0.3rem; }
.claims ul { margin: 0; padding-left: 1.1rem; color: var(--soft); font-size: 0.9rem; }
.claims ul b { font-weight: 500; color: var(--ink); }
.claims ul li { border: 0; padding: 0; margin: 0; }
.scores th small + small { color: var(--accent); }
.intervals td small { display: block; font-size: 0.78em; }
td.paper { color: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; list-style: none; margin: 0.6rem 0 0; padding: 0; font-size: 0.88rem; }
.legend li { display: inline-flex; align-items: center; gap: 0.4rem; }
details { margin: 1.2rem 0; border: 1px solid var(--rule); border-radius: 10px; background: var(--card); padding: 0 1.1rem; }
summary { cursor: pointer; padding: 0.8rem 0; font-weight: 500; }
details[open] { padding-bottom: 0.8rem; }
.aside { border-left: 3px solid var(--accent); padding: 0.1rem 0 0.1rem 1.2rem; margin: 1.4rem 0; }
.unseen { color: var(--ink); font-weight: 600; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
footer { margin-top: 4rem; color: var(--soft); font-size: 0.88rem; }
@media (max-width: 40rem) {
  main { padding-top: 1.5rem; }
  h2 { margin-top: 3.2rem; }
  th, td { padding: 0.5rem 0.55rem; }
  .scores tbody th { min-width: 8.5rem; }
  .bleed { margin-inline: calc(-1 * clamp(1rem, 4vw, 2.5rem)); }
  .bleed video { border-radius: 0; }
  .bleed figcaption { padding-inline: clamp(1rem, 4vw, 2.5rem); }
}
@media print { body { background: none; } nav, video { display: none; } h2 { break-after: avoid; } figure, tr { break-inside: avoid; } }
"""
