"""How often a key may ask."""

import math
import time

import structlog
from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from api.errors import TooManyRequests
from models.projects import Caller
from models.settings import Settings

log = structlog.get_logger()


class Rates:
    """Counts the requests of each key in a window of a minute that slides."""

    def __init__(self, settings: Settings) -> None:
        store = storage_from_string(settings.rate_url.get_secret_value(), wrap_exceptions=True)
        self._limiter = SlidingWindowCounterRateLimiter(store)
        self._usual = settings.requests_per_minute

    def count(self, caller: Caller) -> None:
        """One more request.

        Raises:
            TooManyRequests: one too many, with the seconds after which it is worth another try.
        """
        limit = RateLimitItemPerMinute(caller.requests_per_minute or self._usual)
        try:
            if self._limiter.hit(limit, caller.key_id):
                return
            reset = self._limiter.get_window_stats(limit, caller.key_id).reset_time
        except StorageError as error:  # to count is not worth refusing anybody
            log.warning("rates_not_counted", error=type(error.storage_error).__name__)
            return
        raise TooManyRequests(max(1, math.ceil(reset - time.time())))
