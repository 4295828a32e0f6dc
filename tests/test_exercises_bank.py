"""The bank of answers: every wrong one is rejected with its own diagnosis, every right one accepted."""

from collections import Counter

import pytest

from minit2v.errors import UserError
from minit2v.exercises import bank
from minit2v.exercises.checking import judge
from minit2v.exercises.registry import tasks

ANSWERS = bank.answers()
TASKS = tasks()


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
def test_an_answer_gets_what_it_deserves(answer):
    verdict = judge(answer.task, answer.function, seconds=20)  # of a machine that may be busy
    assert not answer.fails(verdict), verdict.message
    assert "cannot be compared" not in verdict.message


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_every_task_has_enough_answers(task):
    kinds = Counter(answer.says is None for answer in ANSWERS if answer.task == task.id)
    assert kinds[False] >= 4 and kinds[True] >= 2


def test_every_answer_belongs_to_a_task_and_has_a_name_of_its_own():
    assert {answer.task for answer in ANSWERS} <= {task.id for task in TASKS}
    assert max(Counter(answer.name for answer in ANSWERS).values()) == 1


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_wrong_answers_to_a_task_are_told_apart(task):
    """At least three different diagnoses, or the check says the same whatever is wrong."""
    says = {answer.says for answer in ANSWERS if answer.task == task.id and answer.says}
    assert len(says) >= 3


def test_the_bank_is_found_or_missed_in_one_line(tmp_path):
    with pytest.raises(UserError, match="clone of the repository"):
        bank.answers(tmp_path / "nothing")


def test_the_table(capsys):
    assert bank.main(["03.1"]) == 0
    said = capsys.readouterr().out
    assert "7 of 7" in said and "3 of 3" in said and "0 not as they must be" in said
