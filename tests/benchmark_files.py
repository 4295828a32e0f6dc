"""The benchmarks are programs, not a package: tests load them by name."""

import importlib.util
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "benchmarks"


def load(name):
    """benchmarks/NAME.py as a module; it stays known by its name, so that others may import it."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
