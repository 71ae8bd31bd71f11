r"""The report's look: one page without a script, a font or a picture from elsewhere; light, dark and printed."""

from __future__ import annotations

STYLE = """
:root { --paper: #fcfcfa; --ink: #1b1f24; --soft: #59636e; --line: #d8dde2; --card: #ffffff;
  --yes: #0059a1; --yes-tint: #e3effa; --no: #8a3c00; --no-tint: #fbebdd; --open: #59636e; --open-tint: #eceef0; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e8eaed; --soft: #a5afb9; --line: #343b42;
  --card: #1c2126; --yes: #86c4ff; --yes-tint: #12304a; --no: #ffb27a; --no-tint: #45260d; --open: #b9c1c9;
  --open-tint: #2a3036; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.55;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main, header { max-width: 68rem; margin: 0 auto; padding: 0 1.25rem; }
.notice { margin: 0 0 1.5rem; padding: .7rem 1rem; border-left: .3rem solid var(--no); background: var(--no-tint); }
header { padding-top: 1.25rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.35rem; margin: 2.6rem 0 .8rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
p.soft, .soft { color: var(--soft); }
a { color: var(--yes); }
nav a { margin-right: 1.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .94rem; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 600; }
th, td { padding: .55rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number { text-align: right; white-space: nowrap; }
td small, td .soft { display: block; color: var(--soft); font-size: .85rem; }
.verdict { display: inline-block; padding: .1rem .6rem; border-radius: 1rem; font-weight: 650; white-space: nowrap; }
.yes { color: var(--yes); background: var(--yes-tint); }
.no { color: var(--no); background: var(--no-tint); }
.open { color: var(--open); background: var(--open-tint); }
.interval { display: block; margin: .25rem 0; max-width: 100%; }
.interval text { font-size: 11px; fill: var(--soft); }
.interval .axis, .interval .bar { stroke: var(--ink); }
.interval .good { fill: var(--yes-tint); }
.interval .dot { fill: var(--ink); }
figure { margin: 1.2rem 0 1.8rem; }
figure img { max-width: 100%; height: auto; background: #ffffff; border-radius: .4rem; padding: .5rem;
  border: 1px solid var(--line); }
figcaption { color: var(--soft); font-size: .94rem; max-width: 46rem; }
.problem { color: var(--no); font-weight: 600; }
footer { max-width: 68rem; margin: 3rem auto 2rem; padding: 1rem 1.25rem 0; color: var(--soft); font-size: .9rem; }
@media print { nav { display: none; } h2 { break-after: avoid; } figure { break-inside: avoid; } }
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>cardiolearn: what the lecture claims, and what was found</title>
<style>{{ style }}</style>
</head>
<body>
<header>
<p class="notice" role="note">{{ notice }}</p>
<h1>What the lecture claims, and what was found</h1>
<p class="soft">{{ summary }}</p>
<nav aria-label="Lessons"><a href="#claims">Claims</a>
{% for lesson in lessons %}<a href="#{{ lesson.name }}">{{ lesson.title }}</a> {% endfor %}
<a href="#numbers">Numbers</a> <a href="#provenance">Provenance</a></nav>
</header>
<main>
<h2 id="claims">Claims</h2>
<div class="scroll"><table>
<thead><tr><th scope="col">The lecture says</th><th scope="col">Paper</th><th scope="col">Measured here</th>
<th scope="col">Verdict</th></tr></thead>
<tbody>
{% for claim in claims %}<tr>
<td>{{ claim.statement }}<small>{{ claim.where }}</small></td>
<td>{{ claim.paper }}</td>
<td>{% for picture in claim.intervals %}{{ picture.drawing }}<small>{{ picture.text }}</small>
{% else %}{{ claim.evidence }}{% endfor %}</td>
<td><span class="verdict {{ claim.side }}">{{ claim.mark }} {{ claim.verdict }}</span></td>
</tr>
{% endfor %}</tbody></table></div>
<p class="soft">A claim is shown when the whole 95 % interval lies in the region its rule names (shaded), not shown when
the whole interval lies outside, else inconclusive. On real scans the words are reproduced and not reproduced; recorded
means the numbers are from a longer run.</p>
{% for lesson in lessons %}
<h2 id="{{ lesson.name }}">{{ lesson.title }}</h2>
<p class="soft">{{ lesson.line }}</p>
{% for problem in lesson.problems %}<p class="problem">Problem: {{ problem }}</p>{% endfor %}
{% if lesson.stages %}<p class="soft">Put together from these stages:</p>
<ul>{% for stage in lesson.stages %}<li class="soft">{{ stage }}</li>{% endfor %}</ul>{% endif %}
{% for figure in lesson.figures %}<figure>
<img src="data:image/png;base64,{{ figure.png }}" alt="{{ figure.alt }}">
<figcaption>{{ figure.alt }}</figcaption>
</figure>
{% endfor %}{% endfor %}
<h2 id="numbers">Numbers</h2>
<div class="scroll"><table>
<thead><tr><th scope="col">Name</th><th scope="col">Mean</th><th scope="col">SD</th><th scope="col">95 % interval</th>
<th scope="col">n</th><th scope="col">Unit</th></tr></thead>
<tbody>
{% for row in numbers %}<tr>
<td>{{ row.name }}{% if row.recorded %} <small>recorded, from a longer run</small>{% endif %}</td>
<td class="number">{{ row.mean }}</td><td class="number">{{ row.sd }}</td><td class="number">{{ row.ci }}</td>
<td class="number">{{ row.n }}</td><td>{{ row.unit }}</td></tr>
{% endfor %}</tbody></table></div>
<h2 id="provenance">Provenance</h2>
<div class="scroll"><table><tbody>
{% for key, value in provenance %}<tr><th scope="row">{{ key }}</th><td>{{ value }}</td></tr>
{% endfor %}</tbody></table></div>
</main>
<footer>Made by cardiolearn from the executed notebooks of one run. Nothing here is loaded from elsewhere.</footer>
</body>
</html>
"""
