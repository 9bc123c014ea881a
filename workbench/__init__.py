"""The anomaly workbench: a clip in, evidence and words out.

>>> from workbench import Clip, ModelStack, analyse, Conversation
>>> stack = ModelStack.load("bundled")
>>> with Clip.open("street.mp4") as clip:
...     analysis = analyse(clip, stack)
>>> Conversation(stack, analysis).say("judgement").answer
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.analysis import analyse
    from workbench.conversation import Conversation
    from workbench.stack.loading import ModelStack
    from workbench.video import Clip

__all__ = ["Clip", "Conversation", "ModelStack", "analyse"]

_HOMES = {
    "Clip": "workbench.video",
    "Conversation": "workbench.conversation",
    "ModelStack": "workbench.stack.loading",
    "analyse": "workbench.analysis",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that `python -m workbench --help` does not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'workbench' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
