r"""The report's look: light, dark and printed, from a phone to a projector, with no font or picture from elsewhere."""

from __future__ import annotations

STYLE = """
:root { --paper: #fcfcfa; --ink: #1b1f24; --soft: #55606b; --line: #d8dde2; --card: #ffffff;
  --yes: #0059a1; --yes-tint: #e3effa; --no: #8a3c00; --no-tint: #fbebdd; --open: #59636e; --open-tint: #eceef0; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e8eaed; --soft: #a5afb9; --line: #343b42;
  --card: #1c2126; --yes: #86c4ff; --yes-tint: #12304a; --no: #ffb27a; --no-tint: #45260d; --open: #b9c1c9;
  --open-tint: #2a3036; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main, header, footer { max-width: 78rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: .7rem; }
.notice { margin: 0 0 .7rem; padding: .3rem .8rem; border-left: .3rem solid var(--no); background: var(--no-tint); }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.5rem; line-height: 1.25; margin: 3rem 0 .3rem; padding-top: .8rem;
  border-top: 2px solid var(--line); }
h3 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p.soft, .soft { color: var(--soft); }
a { color: var(--yes); }
nav { margin: 0 0 .8rem; }
nav a { margin-right: 1.2rem; white-space: nowrap; }
.cover { display: grid; grid-template-columns: minmax(0, 1.9fr) minmax(0, 1fr); gap: 1.25rem; align-items: center; }
.cover .shown > img { max-height: 24rem; }
.cover .reading { font-size: .95rem; max-height: 24rem; overflow-y: auto; }
.strip { display: flex; flex-wrap: wrap; gap: 3px; margin: .9rem 0 .5rem; cursor: pointer; list-style: none; }
.strip::-webkit-details-marker { display: none; }
.strip b { font-size: 1.35rem; margin-right: .35rem; }
.strip .part { flex: 1 1 auto; padding: .3rem .8rem; border: 2px solid transparent; border-radius: .35rem;
  white-space: nowrap; font-weight: 600; }
.strip .longer { background: none; border-color: currentColor; border-style: dashed; }
.strip .ask { flex-basis: 100%; color: var(--yes); text-decoration: underline; }
.yes { color: var(--yes); background: var(--yes-tint); }
.no { color: var(--no); background: var(--no-tint); }
.open { color: var(--open); background: var(--open-tint); }
.chance { margin: .3rem 0 0; font-size: .95rem; max-width: 78rem; }
.claim { border-top: 1px solid var(--line); padding: .7rem 0; display: grid; gap: .2rem 1rem;
  grid-template-columns: 12rem minmax(0, 1fr); }
.claim details { grid-column: 2; }
.claim dt { font-weight: 600; color: var(--soft); margin-top: .5rem; }
.claim dd { margin: 0; }
.claim small { display: block; color: var(--soft); }
.verdict { justify-self: start; align-self: start; padding: .1rem .6rem; border-radius: 1rem; font-weight: 650; }
.verdict.longer { background: none; border: 1.5px dashed currentColor; }
summary { cursor: pointer; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .94rem; font-variant-numeric: tabular-nums; margin: .6rem 0; }
th { text-align: left; color: var(--soft); font-weight: 600; }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number { text-align: right; white-space: nowrap; }
td small { display: block; color: var(--soft); font-size: .85rem; }
.interval { display: block; margin: .25rem 0; max-width: 100%; }
.interval text { font-size: 11px; fill: var(--soft); }
.interval .axis, .interval .bar { stroke: var(--ink); }
.interval .good { fill: var(--yes-tint); }
.interval .dot { fill: var(--ink); }
.block { margin: .8rem 0 2rem; }
.shown > img { display: block; max-width: 100%; max-height: 70vh; width: auto; height: auto; background: #ffffff;
  border-radius: .4rem; padding: .5rem; border: 1px solid var(--line); margin-bottom: .5rem; }
.shown > .cardiolearn-player { margin-bottom: .5rem; }
.shown > .cardiolearn-film > img { max-height: 70vh; width: auto; }
.shown > .cardiolearn-swipe { max-width: min(100%, 36rem); }
.reading, .question { max-width: 52rem; }
.reading p, .question p { margin: .5rem 0; }
.reading table, .reading .scroll { margin: .4rem 0; }
.question { border-left: .3rem solid var(--yes); padding: .1rem .8rem; background: var(--yes-tint); }
.formula { color: inherit; }
pre { width: fit-content; max-width: 100%;
  margin: .5rem 0; padding: .5rem .8rem; background: var(--open-tint); border-radius: .4rem; overflow-x: auto;
  font-size: .9rem; line-height: 1.35; }
.tag { display: inline-block; padding: 0 .6rem; font-size: .85rem; color: var(--soft);
  border: 1px dashed var(--soft); border-radius: 1rem; }
.problem { color: var(--no); font-weight: 600; }
footer { margin: 3rem auto 2rem; padding-top: 1rem; color: var(--soft); font-size: .9rem; }
@media (max-width: 52rem) {
  .cover, .claim { grid-template-columns: minmax(0, 1fr); }
  .claim details { grid-column: 1; }
  h1 { font-size: 1.45rem; } h2 { font-size: 1.3rem; }
  nav a { display: block; white-space: normal; }
}
@media print {
  nav, .strip .ask { display: none; }
  h2, h3 { break-after: avoid; } .shown, .claim { break-inside: avoid; }
  .shown > img, .cover .reading { max-height: none; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
"""
