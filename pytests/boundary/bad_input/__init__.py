"""Calls that must raise: cases for test_bad_input."""
