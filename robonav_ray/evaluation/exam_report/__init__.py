"""An exam as a document: one file per section, ``build.exam_document`` puts them together.

Consumes: ExamTable. Produces: a Document of ``robonav_ray.report``. Waits for: nothing.
"""
