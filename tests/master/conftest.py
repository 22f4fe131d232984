from collections.abc import Iterator

import pytest
from served_master import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("master") / "data")
    yield found
    found.stop()
