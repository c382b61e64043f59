"""The same as ``python -m proofs crowdnav_orca``, from any folder."""

from _door import run

if __name__ == "__main__":
    run("crowdnav_orca")
