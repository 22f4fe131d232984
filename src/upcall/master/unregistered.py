"""A package that is not registered, in the place of one that is: a dry run of somebody's own files changes nothing."""

import msgspec

from upcall.protocol import names, schema
from upcall.protocol import operator as view
from upcall.protocol import service as wire
from upcall.protocol.errors import Invalid
from upcall.store.interface import Store


def manifest(store: Store, asked: view.Update) -> wire.Package | None:
    """Of the package that is not registered, of a preview."""
    if asked.unregistered is None:
        return None
    try:
        package = msgspec.convert(asked.unregistered, wire.Package)
    except msgspec.ValidationError as error:
        raise names.refusal(error, "unregistered") from None
    schema.vet(package.options_schema, of=f"package {package.name}", where="unregistered.options_schema")
    if package.version != asked.version or not package.source or not store.has_blob(package.source):
        raise Invalid(
            "the package is of another version, or its source is not here",
            where="unregistered",
            expected="the update's version, and PUT /v1/blobs/{sha256} first",
        )
    return package
