# The trainer: accepts and lists jobs. It does not run jobs and needs no torch.
FROM python:3.11.13-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

WORKDIR /srv/cgn
COPY requirements.txt constraints.txt ./
RUN pip install -c requirements.txt \
        grpcio grpcio-health-checking grpcio-reflection grpcio-status protobuf \
        celery redis prometheus-client

COPY cgn cgn
COPY cgn_api cgn_api
COPY common common
COPY services services
COPY trainer trainer

# The user owns the folders where volumes are mounted, so that new volumes are writable.
RUN useradd --uid 10001 --no-create-home cgn && mkdir -p models runs && chown -R cgn:cgn models runs
USER 10001

EXPOSE 50052 9102
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-m", "services.probe", "127.0.0.1:50052"]
CMD ["python", "-m", "services.trainer"]
