"""Messages and jobs in the admin."""

from django.contrib import admin

from delivery.admin.jobs import BulkJobAdmin
from delivery.admin.messages import MessageAdmin
from delivery.admin.notifications import NotificationSettings, NotificationSettingsAdmin
from delivery.models import BulkJob, Message

admin.site.register(Message, MessageAdmin)
admin.site.register(NotificationSettings, NotificationSettingsAdmin)
admin.site.register(BulkJob, BulkJobAdmin)
