"""What stops a run of the course."""


class CourseError(Exception):
    """Something that stops a run of the course; the message says what, where and what to do."""
