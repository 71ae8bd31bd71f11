r"""Quizzes hold jupyterquiz's script, load nothing from elsewhere, and refuse questions that cannot be answered."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any

import pytest

from cardiolearn.errors import InputError
from cardiolearn.figures.player_page import KEEP_KEY
from cardiolearn.figures.quiz import asked, quiz

RIGHT = {"answer": "</script> yes", "correct": True, "feedback": "It is."}
WRONG = {"answer": "no", "correct": False, "feedback": "It is not."}
ROOT = Path(__file__).resolve().parents[2]
ANSWERS = (("yes", "true"), ("no", "false"))
QUESTION = {"question": "Is 1 < 2?", "answers": [RIGHT, WRONG]}


def test_the_page_is_one_output_with_a_list_for_paper() -> None:
    shown = asked([QUESTION, QUESTION])
    assert shown.html.count("<script>") == shown.html.count("</script>") == 1  # no question ends it early
    assert shown.html.count("<li>Is 1 &lt; 2? (&lt;/script&gt; yes / no)</li>") == 2
    assert f'onkeydown="{escape(KEEP_KEY)}"' in shown.html
    assert "class MCQuestion" in shown.html and repr(shown) == "Is 1 < 2?\nIs 1 < 2?"
    assert asked([QUESTION]).html.split("<ol")[0] != asked([QUESTION]).html.split("<ol")[0]  # each its own id


def test_a_quiz_is_read_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "course" / "quiz"
    folder.mkdir(parents=True)
    (tmp_path / "course" / "claims.toml").touch()
    monkeypatch.setenv("CARDIOLEARN_HOME", str(tmp_path))
    for name, text, message in (
        ("absent", None, "absent.toml: expected the questions of a quiz, found"),
        ("damaged", "[[questions", "damaged.toml: expected the questions of a quiz, found"),
        ("empty", "", r"empty.toml: expected tables \[\[questions\]\], found None"),
        ("number", "questions = 3", r"number.toml: expected tables \[\[questions\]\], found 3"),
        ("words", "questions = ['Is it?']", r"words.toml: expected tables \[\[questions\]\], found \['Is it\?'\]"),
    ):
        if text is not None:
            (folder / f"{name}.toml").write_text(text)
        with pytest.raises(InputError, match=message):
            quiz(name)
    answers = "".join(f"[[questions.answers]]\nanswer = '{a}'\ncorrect = {c}\nfeedback = 'So.'\n" for a, c in ANSWERS)
    (folder / "toy.toml").write_text("[[questions]]\nquestion = 'Is it?'\n" + answers)
    assert repr(quiz("toy")) == "Is it?" and "(yes / no)" in quiz("toy").html


def test_the_lessons_quizzes_are_those_of_the_folder() -> None:
    named = [
        name for path in (ROOT / "notebooks").glob("*.ipynb")
        for name in re.findall(r'widgets\.quiz\(\\"(\w+)\\"\)', path.read_text(encoding="utf-8"))
    ]  # fmt: skip
    assert sorted(named) == sorted(path.stem for path in (ROOT / "course" / "quiz").iterdir())
    assert all(quiz(name).questions for name in named)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"question": " ", "answers": [RIGHT, WRONG]}, "a question with two or more answers"),
        ({"question": "?", "answers": [RIGHT]}, "a question with two or more answers"),
        ({"question": "?", "answers": [WRONG, WRONG]}, "no answer is correct"),
        ({"question": "?", "answers": [RIGHT, {"answer": "no", "correct": False}]}, "needs 'answer', 'correct' and"),
        ({"question": "?", "answers": [RIGHT, WRONG | {"correct": "no"}]}, "needs 'answer', 'correct' and"),
        ({}, "a question with two or more answers"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(question: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        asked([question])
