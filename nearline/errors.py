"""One error hierarchy, so that a command can turn any known failure into one line.

Messages name the field, the type found and the fix. They never carry a value that came
from a person: a value may be an e-mail address in the wrong column.
"""


class NearlineError(Exception):
    """A failure that the user can act on. `exit_code` is what a command ends with."""

    exit_code = 1


class InputError(NearlineError):
    """What was given cannot be used: a path, a format, an option, a file's columns."""

    exit_code = 2


class LockedError(NearlineError):
    """Another run holds the warehouse; nothing was changed."""

    exit_code = 3


class QualityError(NearlineError):
    """A blocking check failed: nothing was published."""

    exit_code = 4
