"""Threads, set before anything imports torch and inherited by every process that a test starts."""

import importlib.util
import os
from pathlib import Path

import pytest

# Small tensors run no faster on many threads, and rounding follows the number of threads.
os.environ.setdefault("OMP_NUM_THREADS", str(min(2, os.cpu_count() or 1)))


@pytest.fixture
def course():
    """A fresh copy of the bootstrap script as a module."""
    path = Path(__file__).resolve().parent.parent / "course.py"
    spec = importlib.util.spec_from_file_location("course", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a command in a fresh folder: (exit code, stdout, stderr)."""
    from minit2v import cli

    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = cli.main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call
