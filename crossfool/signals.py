"""How a process ends that a signal tells to: SIGTERM, SIGHUP or Ctrl-C.

The signal's handler raises an exception in the main thread. It unwinds, so that temporary files go and jobs are
cancelled. Then the process ends at once, by `os._exit`, and not by Python's own end. That takes the interpreter away
from threads that still run; one that is in torch's code then aborts the process (SIGABRT). There is such a thread where
the exception has interrupted its start or its join: Python does not wait for it.

Python drops an exception that is raised while it closes an object that nobody holds any more (a generator, say), and
goes on. Here it is raised again. Further signals are passed over: what is being tidied up is tidied up once.
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

CODES = {signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGINT: 1}  # exit codes; click's of a Ctrl-C
AGAIN = 0.02  # seconds until an exception that Python has dropped is raised again

_signal = 0  # the one that has told this process to end
_raised: BaseException | None = None


def told() -> bool:
    """Whether a signal has told this process to end."""
    return _raised is not None


def unwound(main: Callable[[], object]) -> None:
    """Call a function; a signal that tells the process to end unwinds it and then ends the process.

    Signals that are ignored stay ignored (nohup). In a thread other than the main one, the function is just called.
    """
    if threading.current_thread() is not threading.main_thread():
        main()
        return
    hook, all_handlers = sys.unraisablehook, {number: signal.getsignal(number) for number in CODES}
    handlers = {number: handler for number, handler in all_handlers.items() if handler not in (signal.SIG_IGN, None)}
    try:
        try:
            sys.unraisablehook = _dropped
            for number in handlers:
                signal.signal(number, _told)
            main()
        finally:
            if told():  # an exception that was dropped last is not raised again
                signal.signal(signal.SIGALRM, signal.SIG_IGN)
            else:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
                sys.unraisablehook = hook
    except BaseException as error:
        if not told():
            raise
        _release(error)
    if told():
        _end()


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Keep this process's signal handlers where a library puts its own in their place."""
    handlers = {number: signal.getsignal(number) for number in CODES}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def _told(number: int, frame: FrameType | None) -> None:
    """Unwind; but an import at once: native code in it may take the exception for its own and print it."""
    global _raised, _signal
    if told():
        return
    _signal = number
    _raised = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(CODES[signal.Signals(number)])
    _raise(frame)


def _again(number: int, frame: FrameType | None) -> None:
    _raise(frame)


def _raise(frame: FrameType | None) -> NoReturn:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _leave()
        frame = frame.f_back
    assert _raised is not None
    raise _raised


def _dropped(unraisable: "sys.UnraisableHookArgs") -> None:
    """Raise our exception again a little later, when Python has dropped it; show any other, as Python does."""
    if _raised is None or unraisable.exc_value is not _raised:
        sys.__unraisablehook__(unraisable)
        return
    signal.signal(signal.SIGALRM, _again)
    signal.setitimer(signal.ITIMER_REAL, AGAIN)


def _release(error: BaseException | None) -> None:
    """Close what the frames of an exception hold: generators, and so the blocks that these are in."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def _end() -> NoReturn:
    """End a process that has unwound. Worker processes do not finish what they are at."""
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None:
        for process in multiprocessing.active_children():
            process.terminate()
    atexit._run_exitfuncs()  # of libraries, and of `warm`
    _leave()


def _leave() -> NoReturn:
    if _signal == signal.SIGINT:
        with contextlib.suppress(Exception):
            print("\nAborted!", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed, broken, or interrupted in the middle of a write
            stream.flush()
    os._exit(CODES[signal.Signals(_signal)])
