"""Each case's page is written once for all tests of the page."""

from collections.abc import Callable
from functools import cache

import pytest

from tests.support.pages import WrittenPage, written


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], WrittenPage]:
    @cache
    def of_case(name: str) -> WrittenPage:
        return written(name, tmp_path_factory.mktemp(name))

    return of_case
