"""Finding a mail server's settings from an address or a name: who might carry the mail, and what answers.

`candidates` and `recommending` decide, `searching` carries a search out as a test run of kind "search".
"""
