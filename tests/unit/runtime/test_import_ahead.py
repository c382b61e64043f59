"""What is imported ahead is there afterwards, what is missing is no matter, and nothing that the driver imports so imports Ray."""

import subprocess
import sys

from robonav_ray.import_ahead import import_ahead
from robonav_ray.runtime.train import NEEDED_NEXT


def test_what_is_missing_does_not_keep_the_rest() -> None:
    thread = import_ahead("no_such_module_anywhere", "colorsys")
    thread.join(10.0)
    assert not thread.is_alive()
    assert "colorsys" in sys.modules


def test_none_of_it_imports_ray() -> None:
    code = f"import importlib, sys; [importlib.import_module(n) for n in {NEEDED_NEXT!r}]; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
