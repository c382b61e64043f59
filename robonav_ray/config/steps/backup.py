"""Where a pipeline's folder is backed up to."""

from __future__ import annotations

from pydantic import Field, field_validator

from robonav_ray.config.base import Section
from robonav_ray.files.locations import check_location, is_uri


class BackupConfig(Section):
    """A copy of the whole folder, of which only what has changed is sent again."""

    uri: str
    """A folder (absolute, or from where the command is given), or a bucket (``s3://bucket/prefix``, ``gs://``,
    ``abfs://``), for one pipeline alone. Credentials come from the environment."""
    exclude: tuple[str, ...] = Field(default=())
    """Files that are left out, as patterns of their names below the folder (``*/replay/*``)."""

    @field_validator("uri")
    @classmethod
    def _can_be_written_to(cls, uri: str) -> str:
        if is_uri(uri):
            return check_location(uri)
        if not uri.strip() or not uri.isprintable() or uri.startswith("~"):
            raise ValueError("name a folder, written out, or a bucket such as s3://bucket/prefix")
        return uri
