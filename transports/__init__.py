"""The wire: plain Python that carries a message to a server. No Django, no Celery."""
