"""Messages in the admin."""

from django.contrib import admin

from delivery.admin.messages import MessageAdmin
from delivery.models import Message

admin.site.register(Message, MessageAdmin)
