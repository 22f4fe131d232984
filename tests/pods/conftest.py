"""The played master of the agent's tests is the one of pods, too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "agent"))
