"""Errors of training, in the same spirit as `workbench.errors`."""

from workbench.errors import WorkbenchError


class TrainingError(WorkbenchError):
    """A training run cannot start or go on."""
