r"""Multiple-choice questions that answer, through jupyterquiz, without anything loaded from elsewhere.

In a learner's notebook which answers are right, and what is said of each, stands sealed: not to be read by looking, and
opened by `quiz` when it is shown. It is an envelope and no secret.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Sequence
from html import escape
from typing import Any

from cardiolearn.errors import InputError
from cardiolearn.figures.player_page import KEEP_KEY

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


def quiz(questions: Sequence[dict[str, Any]]) -> Quiz:
    r"""Questions, each `{"question": str, "answers": [{"answer": str, "correct": bool, "feedback": str}, ...]}`.

    Where several answers are correct, the reader is to find all of them. Answers may be sealed, see `sealed`.

    Raises:
        InputError: A question without text, fewer than two answers, none of them correct, an answer incomplete, or
            one whose seal does not fit.
    """
    opened = [_opened(question) for question in questions]
    for question in opened:
        _check(question)
    return Quiz(_page(opened), [question["question"] for question in opened])


def sealed(questions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    r"""The same questions, with `{"answer": str, "sealed": str}` for each answer: verdict and feedback made unreadable.

    They are masked with the SHAKE-256 digest of question and answer, so that equal verdicts do not look alike.
    """
    return [
        {
            "question": question["question"],
            "answers": [
                {"answer": answer["answer"], "sealed": _seal(question["question"], answer)}
                for answer in question["answers"]
            ],
        }
        for question in questions
    ]


def _seal(question: str, answer: dict[str, Any]) -> str:
    told = json.dumps([bool(answer["correct"]), answer["feedback"]]).encode()
    return base64.b64encode(_masked(told, question, answer["answer"])).decode()


def _opened(question: dict[str, Any]) -> dict[str, Any]:
    answers = []
    for answer in question.get("answers", []):
        if "sealed" in answer:
            told = _masked(base64.b64decode(answer["sealed"]), question["question"], answer["answer"])
            try:
                correct, feedback = json.loads(told)
            except ValueError:
                raise InputError(f"quiz: {answer['answer']!r}: its seal does not fit: was the text changed?") from None
            answer = {"answer": answer["answer"], "correct": correct, "feedback": feedback}
        answers.append(answer)
    return {"question": question.get("question", ""), "type": "many_choice", "answer_cols": 1, "answers": answers}


def _masked(content: bytes, question: str, answer: str) -> bytes:
    r"""`content` masked, or unmasked: the mask is its own inverse."""
    mask = hashlib.shake_256(f"{question}\n{answer}".encode()).digest(len(content))
    return bytes(a ^ b for a, b in zip(content, mask, strict=True))


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
