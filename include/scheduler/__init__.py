"""What the grid does, and when to run: signal, fallback, decision. Knows nothing of Airflow."""

from include.scheduler.clock import Clock, ReplayClock, SystemClock, clock_for
from include.scheduler.curves.curve import IntensityCurve
from include.scheduler.decision import decide
from include.scheduler.job import Job, job_from_config
from include.scheduler.network.access import Access
from include.scheduler.network.transport import Transport
from include.scheduler.outcome import Action, Decision, Reason
from include.scheduler.outlooks.judging import judged
from include.scheduler.outlooks.outlook import Outlook, Prediction, Wanted
from include.scheduler.pausing import PausingLimits, Progress
from include.scheduler.providers import HTTP_PROVIDERS, LOCAL_PROVIDERS, HttpProvider, LocalProvider, Provider, Request
from include.scheduler.signals.opening import open_signal, replay_anchor
from include.scheduler.signals.profile import country_mean_reading, profile_readings
from include.scheduler.signals.signal import GridSignal

__all__ = [
    "HTTP_PROVIDERS",
    "LOCAL_PROVIDERS",
    "Access",
    "Action",
    "Clock",
    "Decision",
    "GridSignal",
    "HttpProvider",
    "IntensityCurve",
    "Job",
    "LocalProvider",
    "Outlook",
    "PausingLimits",
    "Prediction",
    "Progress",
    "Provider",
    "Reason",
    "ReplayClock",
    "Request",
    "SystemClock",
    "Transport",
    "Wanted",
    "clock_for",
    "country_mean_reading",
    "decide",
    "job_from_config",
    "judged",
    "open_signal",
    "profile_readings",
    "replay_anchor",
]
