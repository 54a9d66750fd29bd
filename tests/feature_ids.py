"""The ids of what the five systems promise: each is the name of a test (tests/test_features.py)."""

#: Per system its letter and its last number; they run from 1 without a gap.
LAST = {"k": 18, "n": 35, "q": 28, "m": 63, "l": 18}

IDS = [f"{letter}{number}" for letter, last in LAST.items() for number in range(1, last + 1)]
