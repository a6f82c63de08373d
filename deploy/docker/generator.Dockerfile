# The generator: gRPC server, engine, shipped models.
FROM python:3.11.13-slim-bookworm

# Package index of torch: the CPU build by default; https://pypi.org/simple for the CUDA build.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

WORKDIR /srv/cgn
COPY requirements.txt constraints.txt ./
# torch comes from its own index; its dependencies and all other packages come from PyPI, at pinned versions.
RUN pip install --no-deps --index-url "$TORCH_INDEX" -c requirements.txt torch \
    && pip install -c requirements.txt \
        torch numpy safetensors pillow av pytorch-pretrained-biggan scipy \
        grpcio grpcio-health-checking grpcio-reflection grpcio-status protobuf \
        redis prometheus-client

COPY cgn cgn
COPY cgn_api cgn_api
COPY common common
COPY services services
COPY models models

# The user owns the folders where volumes are mounted, so that new volumes are writable.
RUN useradd --uid 10001 --no-create-home cgn && mkdir -p models runs && chown -R cgn:cgn models runs
USER 10001

EXPOSE 50051 9101
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-m", "services.probe", "127.0.0.1:50051"]
CMD ["python", "-m", "services.generator"]
