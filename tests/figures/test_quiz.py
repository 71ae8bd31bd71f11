r"""Quizzes hold jupyterquiz's script, load nothing from elsewhere, and refuse questions that cannot be answered."""

from __future__ import annotations

from html import escape
from typing import Any

import pytest

from cardiolearn.errors import InputError
from cardiolearn.figures.player_page import KEEP_KEY
from cardiolearn.figures.quiz import quiz, sealed

RIGHT = {"answer": "</script> yes", "correct": True, "feedback": "It is."}
WRONG = {"answer": "no", "correct": False, "feedback": "It is not."}
QUESTION = {"question": "Is 1 < 2?", "answers": [RIGHT, WRONG]}


def test_the_page_is_one_output_with_a_list_for_paper() -> None:
    shown = quiz([QUESTION, QUESTION])
    assert shown.html.count("<script>") == shown.html.count("</script>") == 1  # no question ends it early
    assert shown.html.count("<li>Is 1 &lt; 2? (&lt;/script&gt; yes / no)</li>") == 2
    assert f'onkeydown="{escape(KEEP_KEY)}"' in shown.html
    assert "class MCQuestion" in shown.html and repr(shown) == "Is 1 < 2?\nIs 1 < 2?"
    assert quiz([QUESTION]).html.split("<ol")[0] != quiz([QUESTION]).html.split("<ol")[0]  # each its own id


def test_sealing_changes_nothing_that_is_shown() -> None:
    (closed,) = sealed([QUESTION])
    assert [set(answer) for answer in closed["answers"]] == [{"answer", "sealed"}] * 2
    moved = closed | {"answers": [closed["answers"][0], closed["answers"][1] | {"sealed": "AAAA"}]}
    assert repr(quiz([closed])) == repr(quiz([QUESTION]))
    with pytest.raises(InputError, match="seal does not fit"):
        quiz([moved])


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
        quiz([question])
