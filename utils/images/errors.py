"""What is wrong with a picture."""


class ImageError(ValueError):
    """A file that cannot be decoded as a picture; the message names it."""


class ReducedImageWarning(UserWarning):
    """A picture of more pixels than are decoded at once was read at a lower resolution."""
