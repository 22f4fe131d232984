import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from played import Played


@pytest.fixture
def played() -> Played:
    return Played()
