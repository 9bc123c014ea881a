"""Errors a person can act on.

Every error the workbench raises on purpose is a `WorkbenchError`: one sentence that names the cause, the
value, and the way out. The command line prints it on one line and exits 2; the page shows it as a toast.
"""


class WorkbenchError(Exception):
    """Base of all errors meant for a person. `str(error)` is the whole message."""


class ClipError(WorkbenchError):
    """A video cannot be opened or decoded."""


class StackError(WorkbenchError):
    """A model stack cannot be loaded, or its weights do not fit."""


class ProfileError(StackError):
    """A profile is unknown or lacks what it needs."""


class DataError(WorkbenchError):
    """Training or evaluation data is missing, empty or malformed."""


class InputError(WorkbenchError):
    """A value given by the user is out of range or contradictory."""


class StoreError(WorkbenchError):
    """The store of corrections cannot be opened, read or written, or refuses a change."""


class FormatError(WorkbenchError):
    """A file to import is not of its format, or records do not fit the format they are exported to."""
