"""Stands in for the package `spaces` as a ZeroGPU Space has it: `GPU` lends a forked process for each call.

What it keeps of the original: the worker is forked from this process at its first call and used again for later ones;
arguments and results are pickled on their way; the work runs in a thread of the worker; of an exception that is not a
`gr.Error` only the class is told; closing the generator ends the work at its next yield. What it leaves out: the GPU.
`STAND_IN_SPACES_LOG` names a file in which each call is noted: process, seconds asked for, header `x-visitor`.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import threading
import traceback
from collections.abc import Callable, Generator
from typing import Any

import gradio as gr
from gradio.context import LocalContext

_fork = multiprocessing.get_context("fork")


class _Worker:
    def __init__(self, task: Callable[..., Generator]) -> None:
        self.mine, theirs = _fork.Pipe()
        self.stop = _fork.Event()
        self.process = _fork.Process(target=_serve, args=(task, theirs, self.stop), daemon=True)
        self.process.start()
        theirs.close()


def _serve(task: Callable[..., Generator], pipe: Any, stop: Any) -> None:
    while True:
        try:
            arguments = pickle.loads(pipe.recv_bytes())
        except EOFError:
            return
        stop.clear()
        thread = threading.Thread(target=_iterate, args=(task, arguments, pipe, stop))
        thread.start()
        thread.join()
        pipe.send_bytes(pickle.dumps(("end", None)))


def _iterate(task: Callable[..., Generator], arguments: tuple, pipe: Any, stop: Any) -> None:
    told = task(*arguments)
    try:
        for value in told:
            if stop.is_set():
                told.close()
                return
            pipe.send_bytes(pickle.dumps(("value", value)))
    except Exception as error:  # noqa: BLE001 (as the original: whatever the task raises)
        traceback.print_exc()
        pipe.send_bytes(pickle.dumps(("error", type(error).__name__)))


def GPU(task: Callable | None = None, *, duration: Any = None) -> Any:
    """The decorator. `duration`: seconds, or what tells them from the arguments."""
    if task is None:
        return lambda given: GPU(given, duration=duration)
    idle: list[_Worker] = []

    def lent(*arguments: Any) -> Generator[Any, None, None]:
        seconds = duration(*arguments) if callable(duration) else duration
        if seconds > int(os.environ.get("STAND_IN_SPACES_LONGEST_S", "300")):
            raise gr.Error("You have exceeded your ZeroGPU quota", print_exception=False)
        worker = idle.pop() if idle else _Worker(task)
        _note(worker, seconds)
        worker.mine.send_bytes(pickle.dumps(arguments))
        try:
            while True:
                kind, value = pickle.loads(worker.mine.recv_bytes())
                if kind == "error":
                    raise gr.Error(value, print_exception=False)
                if kind == "end":
                    return
                yield value
        finally:
            worker.stop.set()
            while kind != "end":
                kind, _ = pickle.loads(worker.mine.recv_bytes())
            idle.append(worker)

    return lent


def _note(worker: _Worker, seconds: float) -> None:
    if path := os.environ.get("STAND_IN_SPACES_LOG"):
        request = LocalContext.request.get(None)
        host = None if request is None else request.headers.get("x-visitor", "")
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"pid": worker.process.pid, "seconds": seconds, "visitor": host}) + "\n")
