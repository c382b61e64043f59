"""What the config classes say of themselves, for people, for editors, and beside another config.

Consumes: the config classes, or two checked configs.
Produces: a page, a commented file, a JSON schema, or the keys that differ.
Waits for: nothing.
"""
