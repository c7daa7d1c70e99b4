//! Listeners, limits, request log, drain.
