"""From a run to a robot: a bundle that drives without torch, Ray or this package.

    a run, NAME@champion --export.py--> spec.json, policy.onnx, README.md, robonav_policy/ --> manifest.json, BUNDLE
    BUNDLE --serving.py, served.py--> serve_remote.py (Ray Serve) --> door.py --> answers to POST /act

What opens a bundle and drives with it is ``robonav_policy``, a package of its own beside this one.

Consumes: a checkpoint, or a version of a model; the worlds' layout of observations and actions; requests over HTTP.
Produces: bundles, and what is wrong with one; actions.
Waits for: torch's exporter (seconds); requests.
"""
