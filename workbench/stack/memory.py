"""When memory runs out: one sentence that names the way out, instead of a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from workbench.errors import StackError
from workbench.profiles import StackProfile, smaller_than

# How torch words it on the CPU, where it raises a plain RuntimeError.
_WORDS = ("out of memory", "can't allocate memory", "not enough memory")


@contextmanager
def enough_memory(profile: StackProfile) -> Iterator[None]:
    """Turn running out of memory into a StackError that names a smaller profile."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _told(profile) from error
    except RuntimeError as error:
        if not any(word in str(error) for word in _WORDS):
            raise
        raise _told(profile) from error


def _told(profile: StackProfile) -> StackError:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    smaller = smaller_than(profile)
    other = f"--profile {smaller.name} ({smaller.memory_gb:g} GB)" if smaller else "a machine with more memory"
    return StackError(
        f"The memory does not hold the profile '{profile.name}', which needs about {profile.memory_gb:g} GB; "
        f"choose {other}, fewer frames, or close other programs."
    )
