"""The profile form as a page: its sections, what fills it in, what is said beside its fields."""
