"""Translates the core's errors into Airflow's, so that soft_fail, retries and the UI treat them right."""

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from include.errors import ConfigurationError, LowtideError


@contextmanager
def airflow_errors(*, skip: bool = False) -> Iterator[None]:
    """Turn a LowtideError into an Airflow failure: final for a wrong configuration, to be retried otherwise.

    :param skip: a sensor's ``soft_fail``: skip instead of failing. Airflow itself does so only on some paths.
    """
    try:
        yield
    except LowtideError as error:
        if skip:
            raise AirflowSkipException(str(error)) from None
        if isinstance(error, ConfigurationError):
            # trying again cannot help: the same file would be as wrong. A full disk or a mirror that is away may mend.
            raise AirflowFailException(str(error)) from None
        raise AirflowException(str(error)) from error
    except AirflowFailException as error:
        if skip:
            raise AirflowSkipException(str(error)) from None
        raise
