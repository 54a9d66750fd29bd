"""What a message carries while Django writes it, where Django would make something up or get it wrong."""

SUBJECT = "mailconf-subject"
MESSAGE_ID = "<stand-in@mailconf.invalid>"
DATE = "Thu, 01 Jan 1970 00:00:00 +0000"
#: Django's DEFAULT_FROM_EMAIL when nobody chose one: the profile's From address stands in.
NOBODY = "webmaster@localhost"
