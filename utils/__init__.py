"""The small package behind the course: one module a subject, nothing heavy at import."""
