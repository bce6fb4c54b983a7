"""What stops a run of the course, and what makes it pass a notebook over."""


class CourseError(Exception):
    """Something that stops a run of the course; the message says what, where and what to do."""


class LeftOut(Exception):  # noqa: N818  not an error: data without categories are fine, too
    """Raised in a notebook whose data give it nothing to work on; the course continues with the next one."""
