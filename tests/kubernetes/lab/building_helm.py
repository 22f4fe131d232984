"""Both Helms that people have, 3 and 4, built from Go modules as the test cluster's program is (:mod:`lab.building`).

``python -m lab.building_helm`` (``make kubernetes``) builds them, once for each pair of versions. What goes into them
is pinned by ``helm/go.mod`` and verified by ``helm/go.sum``; both stand on the same modules of Kubernetes as that
program, so little is compiled twice. To take other versions: change them in ``go.mod``, then ``go mod tidy`` there.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

from lab.building import NOT_HERE, Missing, build_from, folder_of, in_go_mod

SOURCE: Final = Path(__file__).with_name("helm")
MAJORS: Final = ("3", "4")


def version(major: str) -> str:
    """Without the ``v``."""
    return in_go_mod(SOURCE, rf"helm\.sh/helm/v{major} v(\S+)")


def folder() -> Path:
    """Where they lie, or will."""
    return folder_of(SOURCE, f"helm-{'-'.join(map(version, MAJORS))}")


def built(major: str) -> Path:
    """The program. Raises :class:`Missing`."""
    if not (found := folder()).is_dir():
        raise Missing(f"Helm {version(major)} is not built yet; `make kubernetes` builds it")
    return found / f"helm{major}"


def build() -> Path:
    programs = {f"helm{major}": f"helm.sh/helm/v{major}/cmd/helm" for major in MAJORS}
    says = {f"helm.sh/helm/v{major}/internal/version.version": f"v{version(major)}" for major in MAJORS}
    what = f"Helm {' and '.join(map(version, MAJORS))}, some minutes"
    return build_from(SOURCE, folder(), programs, says, what, {})


if __name__ == "__main__":
    try:
        print(build())
    except Missing as missing:
        print(f"make kubernetes: {missing}", file=sys.stderr)
        sys.exit(NOT_HERE)
    except subprocess.CalledProcessError as failed:
        sys.exit(f"make kubernetes: go build ended with {failed.returncode}; what it compiled is kept, so try again")
