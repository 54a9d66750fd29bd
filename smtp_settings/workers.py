"""Whether a worker is alive, asked without importing the queue, which knows.

The project says who answers (`provide`); without an answer, as in an installation that only keeps settings,
there are no workers.
"""

from collections.abc import Callable

_providers: list[Callable[[], bool]] = []


def provide(is_alive: Callable[[], bool] | None) -> None:
    """Set who answers from now on; None takes the answer away."""
    _providers[:] = [is_alive] if is_alive is not None else []


def worker_is_alive() -> bool:
    """Whether a worker was heard of just now; None of them may have time."""
    return bool(_providers) and _providers[0]()
