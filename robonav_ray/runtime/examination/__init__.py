"""Exams as they are played: here, in processes side by side, or over Ray; what is finished is kept, and gone on with.

::

    ExamOrder --> ExamPlan --+--> here.py       one cell after the other, in this process
                             +--> beside.py     as many processes as there are cores (worker.py)
                             +--> over_ray.py   a task for each cell
    each cell, when it is finished --> DIR/cells --> DIR/episodes.parquet, exam.json
"""
