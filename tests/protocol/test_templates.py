"""Names in a declaration's texts: one that no launch will know is refused where it is declared."""

from typing import Any

import pytest

from upcall.protocol import templates
from upcall.protocol.declaration import Artifact, Check, Declaration, File, Port, Secret, Volume
from upcall.protocol.errors import Invalid


def declared(**more: Any) -> Declaration:
    known: dict[str, Any] = {
        "command": ("{{python}}", "{{sandbox}}/run", "{{ port.http }}"),
        "ports": (Port(name="http", number=80),),
        "volumes": (Volume(name="data", size_mib=1),),
        "secrets": (Secret(name="password", ref="x"),),
        "artifacts": (Artifact(name="java", kind="java", lock="0" * 64),),
    }
    return Declaration(**(known | more))


@pytest.mark.parametrize(
    ("more", "where", "right"),
    [
        ({"command": ("{{pyhton}}", "x")}, "web.command[0]", "python"),
        ({"command": ("x", "--port={{port.htp}}")}, "web.command[1]", "port.http"),
        ({"env": {"DATA": "{{volume.dta}}"}}, "web.env.DATA", "volume.data"),
        ({"files": (File(path="a.conf", text="{{secrt.password}}"),)}, "web.file a.conf", "secret.password"),
        ({"prepare": (("mkdir", "{{sandbx}}"),)}, "web.prepare[0][1]", "sandbox"),
        ({"ready": Check(exec=("look", "{{adress}}"))}, "web.ready.exec[1]", "address"),
    ],
)
def test_a_name_that_is_nothing_is_refused_with_its_place_and_the_nearest(
    more: dict[str, Any], where: str, right: str
) -> None:
    with pytest.raises(Invalid, match="has the unknown name") as raised:
        templates.validate("web-0", declared(**more), "web")
    assert raised.value.problem.where == where
    assert right in raised.value.problem.expected


def test_what_is_known_or_may_come_passes_and_a_verbatim_file_may_hold_anything() -> None:
    templates.validate(
        "web-0",
        declared(
            command=("{{artifact.java.home}}/bin/java", "{{address.web-9}}", "{{endpoint.kafka.client}}", "{{brace}}"),
            env={"RACK": "{{attribute.rack}}", "OLD": "{{replaced.address}}", "GO": "{{.Name}} {{ range }"},
            files=(File(path="x", text="{{anything}}", verbatim=True), File(path="y", blob="0" * 64)),
        ),
    )
