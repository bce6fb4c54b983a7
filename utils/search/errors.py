"""What a search says when it cannot be done."""


class SearchError(ValueError):
    """An index or a query that cannot work; the message says what is wrong, where, and what to do."""
