"""Secrets that are there are the variables COLAB_SECRET_NAME."""

import os


class SecretNotFoundError(Exception):
    """As on Colab."""


class NotebookAccessError(Exception):
    """As on Colab."""


def get(key: str) -> str:
    if (value := os.environ.get(f"COLAB_SECRET_{key}")) is None:
        raise SecretNotFoundError(key)
    return value
