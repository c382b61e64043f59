"""Files and where they lie: opened without following links, stored locally or in a bucket, committed by a manifest.

Consumes: paths and URIs.
Produces: bytes, hashes, committed folders.
Waits for: a disk or a bucket.
"""
