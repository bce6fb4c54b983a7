"""What is wrong with a picture."""


class ImageError(ValueError):
    """A file that cannot be decoded as a picture; the message names it.

    Attributes:
        reason: What is wrong, for a list that names the file already; by default the whole message.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message


class ReducedImageWarning(UserWarning):
    """A picture of more pixels than are decoded at once was read at a lower resolution."""
