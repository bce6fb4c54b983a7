"""The small package behind the course: one module a subject, nothing heavy at import."""

from utils.xla_flags import set_flags

set_flags()  # here, since whatever computes with the course imports something of it first
