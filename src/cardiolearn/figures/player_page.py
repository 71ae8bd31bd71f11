r"""The HTML of films and swipes, with their script: filled in by `player`, braces of CSS and script doubled.

Keys pressed in a player go no further, for JupyterLab would move to another cell on an arrow; but for those that are
nobody's here: with Control, Alt or Command, Escape, and Shift with Enter, by which a reader saves, leaves and runs.
"""

from __future__ import annotations

#: JavaScript on an `event`: done with a key that is pressed in what a reader moves or clicks.
KEEP_KEY = (
    'if (!(event.ctrlKey || event.metaKey || event.altKey || event.key === "Escape" '
    '|| event.shiftKey && event.key === "Enter")) event.stopPropagation();'
)
_KEYS = f"""box.addEventListener("keydown", (event) => {{{{ {KEEP_KEY} }}}});"""

_LOOK = """<style>
.cardiolearn-player {{ margin: 0; max-width: 100%; font: 15px/1.4 system-ui, sans-serif; }}
.cardiolearn-player img {{ display: block; max-width: 100%; height: auto; background: #fff; }}
.cardiolearn-player .controls {{ display: flex; gap: .8em; align-items: center; max-width: 46em; margin-top: .3em; }}
.cardiolearn-player button {{ font: inherit; min-width: 6em; padding: .2em .6em; }}
.cardiolearn-player input[type=range] {{ flex: 1; min-width: 8em; margin: 0; accent-color: #0072B2; }}
.cardiolearn-player output {{ min-width: 8em; font-weight: 600; }}
@media print {{ .cardiolearn-player .controls {{ display: none; }} }}
</style>"""

FILM = (
    """<figure class="cardiolearn-player cardiolearn-film" id="{id}">"""
    + _LOOK
    + """
<img src="{first}" alt="{alt}">
<div class="controls">
<button type="button" {play}>&#9654; Play</button>
<input type="range" min="0" max="{last}" value="0" step="1" aria-label="picture" aria-valuetext="{label}">
<output>{label}</output>
</div>
<script>
(() => {{
  const box = document.getElementById("{id}"), picture = box.querySelector("img"), words = box.querySelector("output");
  const slider = box.querySelector("input"), button = box.querySelector("button"), alt = picture.alt;
  const sources = {sources}, labels = {labels};
  const kept = sources.map((source) => Object.assign(new Image(), {{ src: source }}));  // decoded beforehand
  const show = () => {{
    const i = Number(slider.value);
    picture.src = kept[i].src;
    picture.alt = alt + " (" + labels[i] + ")";
    slider.setAttribute("aria-valuetext", labels[i]);
    words.textContent = labels[i];
  }};
  let timer = null;
  const stop = () => {{ clearInterval(timer); timer = null; button.innerHTML = "&#9654; Play"; }};
  const next = () => {{
    if (!box.isConnected) return stop();
    slider.value = (Number(slider.value) + 1) % sources.length;
    show();
  }};
  """
    + _KEYS
    + """
  slider.addEventListener("input", () => {{ stop(); show(); }});
  button.addEventListener("click", () => {{
    if (timer) return stop();
    timer = setInterval(next, {milliseconds});
    button.innerHTML = "&#9208; Pause";
  }});
}})();
</script>
</figure>"""
)

SWIPE = (
    """<figure class="cardiolearn-player cardiolearn-swipe" id="{id}">"""
    + _LOOK
    + """<style>
.cardiolearn-swipe .stage {{ display: flex; gap: .5em; max-width: 100%; }}
.cardiolearn-swipe .side {{ position: relative; min-width: 0; }}
.cardiolearn-swipe .name {{ position: absolute; top: .4em; left: .4em; padding: 0 .5em; background: #fff; color: #111;
  border: 1px solid #888; border-radius: .3em; font-weight: 600; }}
@media screen {{
.cardiolearn-swipe.live .stage {{ position: relative; display: block; width: var(--width); cursor: ew-resize;
  touch-action: pan-y; user-select: none; }}
.cardiolearn-swipe.live .side + .side {{ position: absolute; inset: 0; clip-path: inset(0 0 0 var(--cut)); }}
.cardiolearn-swipe.live .side + .side .name {{ left: auto; right: .4em; }}
.cardiolearn-swipe.live .line {{ position: absolute; top: 0; bottom: 0; left: var(--cut); width: 3px;
  margin-left: -1.5px; background: #E69F00; pointer-events: none; }}
}}
</style>
<div class="stage" style="--width: {width}px">
<div class="side"><img src="{left}" width="{width}" height="{height}" alt="{alt} ({left_label})" draggable="false">
<span class="name">{left_label}</span></div>
<div class="side"><img src="{right}" width="{width}" height="{height}" alt="{alt} ({right_label})" draggable="false">
<span class="name">{right_label}</span></div>
<div class="line"></div>
</div>
<div class="controls"><span>{left_label}</span>
<input type="range" min="0" max="100" value="50" step="1" aria-label="divider between {left_label} and {right_label}">
<span>{right_label}</span></div>
<script>
(() => {{
  const box = document.getElementById("{id}"), stage = box.querySelector(".stage"), slider = box.querySelector("input");
  const show = () => {{
    stage.style.setProperty("--cut", slider.value + "%");
    slider.setAttribute("aria-valuetext", slider.value + " % " + box.querySelector(".name").textContent);
  }};
  const drag = (event) => {{
    const edges = stage.getBoundingClientRect();
    slider.value = Math.round(100 * (event.clientX - edges.left) / edges.width);
    show();
  }};
  """
    + _KEYS
    + """
  slider.addEventListener("input", show);
  stage.addEventListener("pointerdown", (event) => {{ stage.setPointerCapture(event.pointerId); drag(event); }});
  stage.addEventListener("pointermove", (event) => {{ if (event.buttons) drag(event); }});
  box.classList.add("live");
  show();
}})();
</script>
</figure>"""
)
