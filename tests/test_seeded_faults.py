"""A line of the package goes wrong: a checked cell of the lesson must notice, or its checks prove nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
import seeded_faults

SCRIPT = Path(seeded_faults.__file__)


def test_faults_belong_to_lessons_and_say_what_they_are():
    assert all((seeded_faults.FOLDER / f"{lesson}.ipynb").is_file() for lesson in seeded_faults.FAULTS)
    assert all(fault.__doc__ for fault in seeded_faults.FAULTS.values())


@pytest.mark.parametrize("lesson", seeded_faults.FAULTS)
def test_a_checked_cell_notices(lesson):
    done = subprocess.run([sys.executable, SCRIPT, lesson], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] != "None", f"no checked cell of {lesson} notices its seeded fault"
