"""Work for a thread of its own, while a training goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

T = TypeVar('T')


def in_background(function: Callable[..., T], *args: Any) -> Future[T]:
    """Call a function in a thread that does not keep a finished program from ending.

    Loaders may fork meanwhile, so the function should hold no lock for long; compiled code holds none.

    Args:
        function: What to call.
        *args: Its arguments.

    Returns:
        Gives the result, or raises what the function raised, when asked.
    """
    future: Future[T] = Future()

    def call() -> None:
        try:
            future.set_result(function(*args))
        except BaseException as error:  # raised where the result is asked for
            future.set_exception(error)

    Thread(target=call, daemon=True).start()
    return future
