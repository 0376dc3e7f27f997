# The command `speechalign` in a container. docs/docker.md says how to run it and which steps were tried.
#
#   docker build -t speechalign .                                  # CPU
#   docker build -t speechalign:cuda --build-arg ACCELERATOR=cuda .
#   docker run --init --rm -v speechalign-data:/app/data ... speechalign

ARG ACCELERATOR=cpu

FROM python:3.12-slim-bookworm AS base-cpu
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git make \
 && rm -rf /var/lib/apt/lists/*

# PyTorch's wheels bring their own CUDA libraries, so the smallest CUDA image (the driver's hooks) is enough.
FROM nvidia/cuda:13.0.1-base-ubuntu24.04 AS base-cuda
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates git make python3.12 python3.12-venv \
 && rm -rf /var/lib/apt/lists/*

FROM base-${ACCELERATOR}
# The user owns the code and the volumes, not the environment: a stage cannot change what it runs on.
RUN useradd --create-home --uid 10001 speechalign \
 && mkdir -p /app/data /app/runs /app/reports /app/mlartifacts /app/tracking /app/.dvc/cache
WORKDIR /app

# The packages first: this layer is built again only when a lock changes. The targets are the same as on any machine,
# so the hashes of requirements.lock are checked here too.
COPY Makefile requirements.lock ./
COPY requirements ./requirements
COPY .dvc ./.dvc
RUN make packages VENV=/opt/venv && rm -rf /root/.cache

COPY . .
RUN make env VENV=/opt/venv && chown -R speechalign:speechalign /app
USER speechalign

# USER and HOME: DVC asks for the user's name, which a bare `docker run --user` number does not have.
ENV PATH=/opt/venv/bin:$PATH \
    USER=speechalign \
    HOME=/home/speechalign \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1 \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    MLFLOW_DISABLE_TELEMETRY=true \
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
    MLFLOW_TRACKING_URI=sqlite:////app/tracking/mlflow.db

VOLUME ["/app/data", "/app/runs", "/app/reports", "/app/mlartifacts", "/app/tracking", "/app/.dvc/cache"]
ENTRYPOINT ["speechalign"]
CMD ["run"]
