"""Measurements of the whole way, printed as a table by `make bench`. Nothing here is a test or asserts a time."""
