"""The dialogue about a clip where a GPU is lent: each turn is a job of its own, which is told all earlier turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from workbench.conversation import Conversation
from workbench.records import Analysis, Turn, TurnKind
from workbench.stack.loading import ModelStack
from workbench.ui.runs import Run

Answering = Callable[[tuple[Turn, ...], tuple[str, TurnKind]], Run[str]]


class LentConversation(Conversation):
    """A `Conversation` that is written elsewhere; to whoever asks it is the same.

    Args:
        answering: starts the next answer, given the turns so far and the question with its kind.
    """

    def __init__(self, stack: ModelStack, analysis: Analysis, answering: Answering) -> None:
        super().__init__(stack, analysis)
        self._answering = answering

    def retract(self) -> Turn | None:
        """Take the last turn back, so that it can be asked again."""
        return self.turns.pop() if self.turns else None

    def _answer(self, question: str, kind: TurnKind) -> Iterator[str]:
        run = self._answering(tuple(self.turns), (question, kind))
        said = ""
        try:
            for progress in run.updates(every_s=0):
                if progress.partial and len(progress.partial) > len(said):
                    piece, said = progress.partial[len(said) :], progress.partial
                    yield piece
            said = run.result()
        except GeneratorExit:  # stopped: what was said until then is the turn
            self._add(kind, question, said)
            raise
        finally:
            run.cancel()
        self._add(kind, question, said)
