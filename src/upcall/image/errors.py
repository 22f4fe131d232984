"""What can go wrong with an image: what, where, and what would be right."""

from upcall.protocol.errors import UpcallError


class ImageError(UpcallError):
    """Base of all errors of images."""

    code = "image"
    status = 424


class RegistryError(ImageError):
    """A registry does not answer, or says no."""

    code = "image_registry"
