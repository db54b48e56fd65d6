# Two images from one file: `api` (no torch, about 0.3 GB) and `worker` (with torch; the CPU build by default).
#   docker build --target api -t trainwright-api .
#   docker build --target worker -t trainwright-worker .
#   docker build --target worker --build-arg TORCH_INDEX= --build-arg COMPILER=g++ -t trainwright-worker-gpu .
# The last is PyPI's build of torch, which brings CUDA, with a compiler for jobs that ask for `compile`.
# Both run as user 10001, write nothing outside /tmp and /var/lib/trainwright, and so run with a read-only root.

ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PATH=/opt/venv/bin:$PATH
RUN groupadd --gid 10001 trainwright \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin trainwright \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/trainwright
WORKDIR /srv/trainwright

# Every package we pin comes as a wheel: none is ever built here.
FROM base AS install
RUN python -m venv /opt/venv
COPY pyproject.toml constraints.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt pip

FROM install AS install-api
RUN pip install --no-cache-dir --disable-pip-version-check --only-binary=:all: --constraint constraints.txt --group api \
    && python -m compileall -q /opt/venv/lib

FROM install AS install-worker
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --disable-pip-version-check --only-binary=:all: --constraint constraints.txt \
        ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} --group worker --group parquet --group export \
    && python -m compileall -q /opt/venv/lib

FROM base AS api
COPY --from=install-api /opt/venv /opt/venv
COPY LICENSE pyproject.toml ./
COPY models models
COPY migrations migrations
COPY api api
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["uvicorn", "api.main:create_app", "--factory", "--host", "0.0.0.0", "--port", "8000", "--timeout-graceful-shutdown", "5"]

FROM base AS worker
ARG COMPILER=
RUN if [ -n "$COMPILER" ]; then \
        apt-get update && apt-get install --yes --no-install-recommends "$COMPILER" && rm -rf /var/lib/apt/lists/*; \
    fi
COPY --from=install-worker /opt/venv /opt/venv
COPY LICENSE pyproject.toml ./
COPY models models
COPY worker worker
ENV TRAINWRIGHT_CACHE_DIR=/var/lib/trainwright
VOLUME /var/lib/trainwright
USER 10001:10001
# A worker saves its jobs and gives them back when it is told to stop: give it the time it was promised (drain_seconds).
STOPSIGNAL SIGTERM
CMD ["python", "-m", "worker", "serve"]
