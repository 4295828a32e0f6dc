import pytest

from minit2v.errors import UserError, nearest


def test_user_error_is_one_line():
    error = UserError("prompt 'a\nred\tball'  is wrong:\n  use one line")
    assert str(error) == "prompt 'a red ball' is wrong: use one line"
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    "word, expected",
    [
        ("bal", "did you mean 'ball'?"),
        ("BALL", "did you mean 'ball'?"),
        ("xylophone", ""),
        ("", ""),
    ],
)
def test_nearest(word, expected):
    assert nearest(word, ["ball", "triangle", "star"]) == expected


def test_nearest_puts_the_best_first_and_keeps_the_legal_spelling():
    assert nearest("wan2.1", ["Wan2.2", "WAN2.1", "Sora"], n=2) == "did you mean 'WAN2.1', 'Wan2.2'?"


def test_nearest_is_bounded():
    legal = [f"ball{i}" for i in range(9)]
    assert nearest("ball", legal).count("'") == 2 * 3
    assert nearest("ball", legal, n=1).count("'") == 2
