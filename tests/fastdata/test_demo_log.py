"""What is acknowledged and not yet read is never deleted, however long its reader is away."""

from importlib.resources import files

import yaml

from upcall.fastdata.retention import Retention, Unread, danger


def test_only_what_is_stored_can_delete_what_is_unread_and_that_is_held_before() -> None:
    """The clock goes on while nobody can read; a size does not grow while nothing is taken."""
    platform = yaml.safe_load((files("upcall.fastdata") / "demo.yaml").read_text())
    (kafka,) = [one for one in platform["services"] if one["package"] == "kafka"]
    config = kafka["topics"]["frames"]["config"]
    kept = Retention(time_ms=int(config["retention.ms"]), bytes=int(config["retention.bytes"]))
    a_day = Unread(partition=0, messages=1, about_bytes=1, oldest_age_ms=86_400_000)
    assert danger(kept, a_day, held=False) == ""
    full = Unread(partition=0, messages=1, about_bytes=kept.bytes - int(config["segment.bytes"]), oldest_age_ms=0)
    assert danger(kept, full, held=False) != ""
