"""Where jobs that wait for the disk run, so that the event loop never does."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_POOL = ThreadPoolExecutor(max_workers=64, thread_name_prefix="job")


async def in_thread(
    job: Callable[_Arguments, _Result], *arguments: _Arguments.args, **options: _Arguments.kwargs
) -> _Result:
    """Runs a job to its end, also when its call is given up meanwhile (D3). So whoever called it may close its files
    then, and a lock that a job takes is never held while something else is awaited."""
    done = asyncio.get_running_loop().run_in_executor(_POOL, lambda: job(*arguments, **options))
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait({done})
        done.exception()  # nobody asks any more
        raise
