"""The orderly end of a process on a signal: SIGTERM, SIGHUP or Ctrl-C.

The signal's handler raises an exception in the main thread. It unwinds, so that temporary files go and jobs are
cancelled. Then the process ends at once, by `os._exit`, and not by Python's finalisation. Finalisation takes the
interpreter away from threads that still run; a thread in torch's code then aborts the process (SIGABRT). There is such
a thread where the exception has interrupted its start or its join: Python does not wait for it.

Python drops an exception that is raised while it closes an object that nothing refers to any more (a generator, say),
and goes on. Here the exception is raised again. Further signals are ignored, so that the clean-up runs once.
"""

import atexit
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

EXIT_CODES = {signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGINT: 1}  # signal -> exit code; click's for a Ctrl-C
RAISE_AGAIN_AFTER = 0.02  # seconds until an exception that Python has dropped is raised again

_signal = 0  # the signal that ends this process
_raised: BaseException | None = None  # the exception that its handler raises


def ending_on_signal() -> bool:
    """Whether this process is ending on a signal."""
    return _raised is not None


def run_unwinding(main: Callable[[], object]) -> None:
    """Call a function; SIGTERM, SIGHUP or Ctrl-C unwinds it and then ends the process.

    Signals that are ignored stay ignored (nohup). In a thread other than the main one, the function is just called.
    """
    if threading.current_thread() is not threading.main_thread():
        main()
        return
    hook, all_handlers = sys.unraisablehook, {number: signal.getsignal(number) for number in EXIT_CODES}
    handlers = {number: handler for number, handler in all_handlers.items() if handler not in (signal.SIG_IGN, None)}
    try:
        try:
            sys.unraisablehook = _on_dropped_exception
            for number in handlers:
                signal.signal(number, _on_signal)
            main()
        finally:
            if ending_on_signal():  # no exception is raised again from here on
                signal.signal(signal.SIGALRM, signal.SIG_IGN)
            else:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
                sys.unraisablehook = hook
    except BaseException as error:
        if not ending_on_signal():
            raise
        _clear_frames(error)
    if ending_on_signal():
        _end()


@contextlib.contextmanager
def restoring_handlers() -> Iterator[None]:
    """Restore this process's signal handlers after a block in which a library replaces them."""
    handlers = {number: signal.getsignal(number) for number in EXIT_CODES}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def _on_signal(number: int, frame: FrameType | None) -> None:
    """Unwind the process, on the first signal alone."""
    global _raised, _signal
    if ending_on_signal():
        return
    _signal = number
    _raised = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(EXIT_CODES[signal.Signals(number)])
    _raise(frame)


def _on_alarm(number: int, frame: FrameType | None) -> None:
    _raise(frame)


def _raise(frame: FrameType | None) -> NoReturn:
    """Raise the exception that unwinds the process; but end the process at once where a module is being imported.

    Native code in an import may take the exception for its own and print it.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _leave()
        frame = frame.f_back
    assert _raised is not None
    raise _raised


def _on_dropped_exception(unraisable: "sys.UnraisableHookArgs") -> None:
    """Raise our exception again a little later when Python has dropped it; show any other, as Python does."""
    if _raised is None or unraisable.exc_value is not _raised:
        sys.__unraisablehook__(unraisable)
        return
    signal.signal(signal.SIGALRM, _on_alarm)
    signal.setitimer(signal.ITIMER_REAL, RAISE_AGAIN_AFTER)


def _clear_frames(error: BaseException | None) -> None:
    """Close the generators that an exception's frames refer to, and so the `with` blocks inside them."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def _end() -> NoReturn:
    """End a process that has unwound, and its worker processes in the middle of their work."""
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None:
        for process in multiprocessing.active_children():
            process.terminate()
    atexit._run_exitfuncs()  # those of libraries
    _leave()


def _leave() -> NoReturn:
    """Flush standard output and error, and end the process with the signal's exit code."""
    if _signal == signal.SIGINT:
        with contextlib.suppress(Exception):
            print("\nAborted!", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed, broken, or interrupted in the middle of a write
            stream.flush()
    os._exit(EXIT_CODES[signal.Signals(_signal)])
