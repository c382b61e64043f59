"""The verbs about pipelines, and their live view."""
