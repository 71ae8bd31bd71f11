r"""The report's page: what stands where. A few lines of script open the folds before it is printed."""

from __future__ import annotations

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
{% macro shown(figure) %}<div class="shown">
{% for picture in figure.pictures %}{{ picture | html }}
{% endfor %}</div>{% endmacro %}
<header>
<p class="notice" role="note">{{ notice }}</p>
<h1>What the lecture claims, and what was found</h1>
<nav aria-label="Contents">{% for lesson in lessons %}<a href="#{{ lesson.name }}">{{ lesson.title }}</a> {% endfor %}
<a href="#numbers">Numbers</a></nav>
{% if cover %}<div class="cover"><div class="shown">{{ cover.pictures[0] | html }}</div>
<div class="reading">{{ cover.reading | html }}</div></div>
{% endif %}
<details class="claims" id="claims">
<summary class="strip" aria-label="How the lecture's claims fared; open for each claim">
{% for kind in strip %}<span class="part {{ kind.side }}{% if kind.longer %} longer{% endif %}"
 style="flex-grow: {{ kind.count }}"><b>{{ kind.count }}</b>{{ kind.mark }} {{ kind.word }}</span>
{% endfor %}<span class="ask">Show each claim{% if strip | selectattr("longer") | list %} (dashed: recorded, from a
longer run){% endif %}</span></summary>
<p class="soft">A claim is shown when the whole 95 % interval lies in the region that its rule names (shaded), not shown
when the whole interval lies outside, else inconclusive. On real scans the words are reproduced and not reproduced.
Recorded means that the numbers are from a longer run.</p>
{% for claim in claims %}<div class="claim">
<span class="verdict {{ claim.side }}{% if claim.longer %} longer{% endif %}">{{ claim.mark }} {{ claim.word }}</span>
<div>{{ claim.statement }}<small>{{ claim.where }}{% if claim.longer %}. Recorded, from a longer run.{% endif %}
</small></div>
<details><summary>Numbers</summary><dl>
<dt>The paper</dt><dd>{{ claim.paper }}</dd>
<dt>Measured here</dt><dd>{% for drawing, words in claim.intervals %}{{ drawing }}<small>{{ words }}</small>
{% endfor %}<small>{{ claim.evidence }}</small></dd>
<dt>How</dt><dd>{{ claim.measure }}</dd></dl></details>
</div>
{% endfor %}</details>
<p class="chance">{{ chance }}</p>
</header>
<main>
{% for lesson in lessons %}
<h2 id="{{ lesson.name }}">{{ lesson.title }}</h2>
<p class="soft">{{ lesson.line }}</p>
{% for problem in lesson.problems %}<p class="problem">Problem: {{ problem }}</p>{% endfor %}
{% for section in lesson.sections %}
{% if section.title %}<h3>{{ section.title | html }}</h3>
{% endif %}
{% for part in section.parts %}
{% if part is figure %}{% if part is not sameas cover or part.tables or part.printed %}<div class="block">
{{ shown(part) }}
{% for table in part.tables %}<div class="scroll">{{ table | html }}</div>
{% endfor %}
{% if part.printed %}<pre>{{ part.printed }}</pre>
{% endif %}
{% if part.recorded %}<p class="tag">with numbers recorded in a longer run</p>
{% endif %}
{% if part.reading %}<div class="reading">{{ part.reading | html }}</div>
{% endif %}</div>
{% endif %}
{% else %}<div class="question">{{ part | html }}</div>
{% endif %}
{% endfor %}
{% endfor %}
{% if lesson.stages %}<details><summary>Put together from these stages</summary>
<ul>{% for stage in lesson.stages %}<li class="soft">{{ stage }}</li>{% endfor %}</ul></details>{% endif %}
{% endfor %}
<h2 id="numbers">Numbers</h2>
<p class="soft">{{ summary }}</p>
<details><summary>All {{ numbers | length }} numbers that the lessons recorded</summary>
<div class="scroll"><table>
<thead><tr><th scope="col">Name</th><th scope="col">Mean</th><th scope="col">SD</th><th scope="col">95 % interval</th>
<th scope="col">n</th><th scope="col">Unit</th></tr></thead>
<tbody>
{% for row in numbers %}<tr>
<td>{{ row.name }}{% if row.recorded %} <small>recorded, from a longer run</small>{% endif %}</td>
<td class="number">{{ row.mean }}</td><td class="number">{{ row.sd }}</td><td class="number">{{ row.ci }}</td>
<td class="number">{{ row.n }}</td><td>{{ row.unit }}</td></tr>
{% endfor %}</tbody></table></div></details>
<details id="provenance"><summary>Provenance: what the run was made with</summary>
<div class="scroll"><table><tbody>
{% for key, value in provenance %}<tr><th scope="row">{{ key }}</th><td>{{ value }}</td></tr>
{% endfor %}</tbody></table></div></details>
</main>
<footer>Made by cardiolearn from the executed notebooks of one run. Nothing here is loaded from elsewhere.</footer>
<script>
(() => {
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const fold of opened) fold.open = true;
  });
  addEventListener("afterprint", () => { for (const fold of opened) fold.open = false; });
})();
</script>
</body>
</html>
"""
