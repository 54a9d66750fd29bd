"""Mail that waits in another package's tables becomes messages of ours, each row once, none lost.

`post_office` and `django_mailer` know one package each (its tables, what a row means, how a row is marked so
that the package leaves it alone); `carrying` moves the rows in chunks. Their code is not needed, and none of
it is called.
"""
