"""The same as ``python -m proofs sim_to_sim``, from any folder."""

from _door import run

if __name__ == "__main__":
    run("sim_to_sim")
