"""What each part of a method is worth: whole runs with one part off at a time, side by side, judged by one exam.

Consumes: AblationConfig. Produces: ``results.jsonl`` as runs come in, ``ablation.json``, ``ablation.md``,
``ablation.png``. Waits for: runs to end.
"""
