"""Checks of a data set: each rule one row with severity, count and what to do."""
