"""The same as ``python -m proofs judge_planners``, from any folder."""

from _door import run

if __name__ == "__main__":
    run("judge_planners")
