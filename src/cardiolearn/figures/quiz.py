r"""Multiple-choice questions that answer, through jupyterquiz, without anything loaded from elsewhere.

Questions are text and no code: they stand in `course/quiz`, and a notebook names them. So no copy holds an answer.
"""

from __future__ import annotations

import tomllib
import uuid
from collections.abc import Sequence
from html import escape
from typing import Any

from cardiolearn.errors import InputError
from cardiolearn.figures.player_page import KEEP_KEY
from cardiolearn.home import find_home

_COLOURS = {
    "--jq-multiple-choice-bg": "#1f3b57",
    "--jq-many-choice-bg": "#1f3b57",
    "--jq-text-color": "#ffffff",
    "--jq-mc-button-bg": "#ffffff",
    "--jq-mc-button-border": "#8a949e",
    "--jq-mc-button-inset-shadow": "#555555",
    "--jq-correct-color": "#00663d",
    "--jq-incorrect-color": "#9c2b00",
}


class Quiz:
    r"""What a cell shows: the questions to answer as `html`; on paper, and without scripts, as a list."""

    def __init__(self, html: str, questions: Sequence[str]) -> None:
        self.html = html
        self.questions = list(questions)

    def __repr__(self) -> str:
        return "\n".join(self.questions)

    def _repr_html_(self) -> str:
        return self.html


def quiz(name: str) -> Quiz:
    r"""The questions of `course/quiz/NAME.toml`, to be answered; see `asked`.

    Raises:
        InputError: No such file, a damaged one, or questions that cannot be answered.
    """
    path = find_home() / "course" / "quiz" / f"{name}.toml"
    try:
        questions = tomllib.loads(path.read_text(encoding="utf-8")).get("questions")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: expected the questions of a quiz, found {error}") from None
    if not questions or not isinstance(questions, list) or not all(isinstance(q, dict) for q in questions):
        raise InputError(f"{path}: expected tables [[questions]], found {questions!r}")
    return asked(questions)


def asked(questions: Sequence[dict[str, Any]]) -> Quiz:
    r"""Questions, each `{"question": str, "answers": [{"answer": str, "correct": bool, "feedback": str}, ...]}`.

    Where several answers are correct, the reader is to find all of them.

    Raises:
        InputError: A question without text, fewer than two answers, none of them correct, or an answer incomplete.
    """
    form: dict[str, Any] = {"question": "", "answers": [], "type": "many_choice", "answer_cols": 1}
    known = [form | question for question in questions]
    for question in known:
        _check(question)
    return Quiz(_page(known), [question["question"] for question in known])


def _check(question: dict[str, Any]) -> None:
    name = question["question"]
    if not name.strip() or len(question["answers"]) < 2:
        raise InputError(f"quiz: expected a question with two or more answers, got {name!r}")
    for answer in question["answers"]:
        if not answer.get("answer") or not answer.get("feedback") or not isinstance(answer.get("correct"), bool):
            raise InputError(f"quiz: {name!r}: each answer needs 'answer', 'correct' and 'feedback'")
    if not any(answer["correct"] for answer in question["answers"]):
        raise InputError(f"quiz: {name!r}: no answer is correct")


def _page(questions: Sequence[dict[str, Any]]) -> str:
    r"""jupyterquiz's own container, style and script as one output.

    Its script runs with no MathJax in sight: where it meets JupyterLab's, it would load another from the network.
    """
    from jupyterquiz.dynamic.display import load_questions_script
    from jupyterquiz.dynamic.renderer import build_script, build_styles, render_div

    name = f"quiz{uuid.uuid4().hex[:10]}"
    prefix, static, address = load_questions_script(list(questions), name)
    script = build_script(prefix.replace("<", "\\u003c"), static, address, name, True)
    listed = "".join(
        f"<li>{escape(question['question'])} ({escape(' / '.join(a['answer'] for a in question['answers']))})</li>"
        for question in questions
    )
    quiet = "const console = { log() {}, error: window.console.error };"
    return (
        f"{build_styles(name, _COLOURS)}{_LOOK}"
        f'<div class="cardiolearn-quiz" onkeydown="{escape(KEEP_KEY)}"><ol class="paper">{listed}</ol>'
        f"{render_div(name, False, True, False, len(questions), 800, 8, 'left')}</div></div>"
        f"<script>((MathJax) => {{ {quiet}\n{script}\n}})();</script>"
    )


_LOOK = """<style>
.cardiolearn-quiz .paper { display: none; }
.cardiolearn-quiz .Quiz { margin: 0 0 1.2em; font: 16px/1.4 system-ui, sans-serif; }
.cardiolearn-quiz .Feedback { font-size: 16px; text-align: left; min-height: 1.4em; }
.cardiolearn-quiz .Feedback.correct, .cardiolearn-quiz .Feedback.incorrect { background: #fff; padding: .2em .5em; }
.cardiolearn-quiz .MCButton { gap: .5em; justify-content: left; text-align: left; }
@media print { .cardiolearn-quiz .paper { display: block; } .cardiolearn-quiz .Quiz { display: none; } }
</style>"""
