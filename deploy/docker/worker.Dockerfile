# The worker: claims jobs and runs each in its own process.
FROM python:3.11.13-slim-bookworm

# Package index of torch: the CPU build by default; https://pypi.org/simple for the CUDA build.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

WORKDIR /srv/cgn
COPY requirements.txt constraints.txt ./
# torch comes from its own index; its dependencies and all other packages come from PyPI, at pinned versions.
RUN pip install --no-deps --index-url "$TORCH_INDEX" -c requirements.txt torch \
    && pip install -c requirements.txt \
        torch numpy safetensors pillow tqdm pytorch-pretrained-biggan scipy celery redis prometheus-client

COPY cgn cgn
COPY common common
COPY trainer trainer
COPY models models

# The user owns the folders where volumes are mounted, so that new volumes are writable.
RUN useradd --uid 10001 --no-create-home cgn && mkdir -p models runs && chown -R cgn:cgn models runs
USER 10001

EXPOSE 9103
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9103/metrics', timeout=3)"]
CMD ["python", "-m", "trainer.worker"]
