"""The user's mistakes: one family of errors, shown as one message without a traceback, with exit code 2."""


class UserError(ValueError):
    """Something that only the user can put right; the message names what, where and what to do."""
