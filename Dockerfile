# syntax=docker/dockerfile:1
# Build: docker build -t mailsync .    Run: docker run -v mailsync:/var/lib/mailsync -p 9464:9464 mailsync
# What the first stage does is done without an engine by scripts/docker_steps.py, which the tests run.

FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml LICENSE ./
COPY mailsync_grpc ./mailsync_grpc
RUN python -m venv /opt/mailsync
RUN /opt/mailsync/bin/pip install --no-cache-dir --no-compile .
RUN /opt/mailsync/bin/mailsync --version

FROM python:3.13-slim
COPY --from=build /opt/mailsync /opt/mailsync
COPY deploy/docker-entrypoint.sh /usr/local/bin/mailsync-entrypoint
RUN useradd --system --uid 10001 --home-dir /var/lib/mailsync --create-home --shell /usr/sbin/nologin mailsync
USER mailsync
ENV PATH=/opt/mailsync/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MAILSYNC_DATA_DIR=/var/lib/mailsync \
    MAILSYNC_METRICS=0.0.0.0:9464 \
    MAILSYNC_LOG_FORMAT=json
VOLUME /var/lib/mailsync
EXPOSE 50051 9464
# Asks the gRPC health service. With TLS set MAILSYNC_ADDRESS to a name of the certificate and MAILSYNC_TLS_CA to its authority.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s CMD ["mailsync", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["mailsync-entrypoint"]
CMD ["mailsync", "serve"]
