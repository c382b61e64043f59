# syntax=docker/dockerfile:1
# Four images. The first two are every node of a cluster; compose uses the others too.
#   docker build --target cpu -t robonav-ray:cpu .
#   docker build --target gpu -t robonav-ray:gpu .                          # CUDA comes with torch's wheels, the driver from the machine
#   docker build --target serve -t robonav-ray:serve .                      # answers with the champion over HTTP
#   docker build --target mlflow -t robonav-ray:mlflow .
# `ray up` on a cloud also wants the cloud's library in the head's image: --build-arg CLOUD=boto3 (AWS) or CLOUD=google-api-python-client.
# Nothing runs as root. Health of a node is asked by compose and Kubernetes, because its image does not know which service it will be.

FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

# What is installed, in a virtual environment of its own; pip's traces stay in this stage.
FROM base AS build
ARG CLOUD=""
RUN python -m venv /opt/robonav
ENV PATH=/opt/robonav/bin:$PATH
WORKDIR /src
# What changes seldom comes first: the packages of the core, each held against its hash.
COPY constraints.txt constraints-hashed.txt ./
RUN pip install --require-hashes -r constraints-hashed.txt
COPY pyproject.toml setup.py README.md LICENSE ./
COPY configs configs
COPY cluster cluster
COPY robonav_policy robonav_policy
COPY robonav_ray robonav_ray

FROM build AS build-cpu
RUN pip install -c constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu '.[mlflow]' ${CLOUD}

FROM build-cpu AS build-serve
RUN pip install -c constraints.txt '.[serve]'

FROM build AS build-gpu
COPY constraints-hashed-cuda.txt ./
RUN pip install --require-hashes -r constraints-hashed.txt -r constraints-hashed-cuda.txt
RUN pip install -c constraints.txt '.[mlflow]' ${CLOUD}

# What both kinds of node have in common.
FROM base AS node
ARG STORAGE=/mnt/robonav/runs
# rsync: `ray up` copies its files into the container with it. ssh: the autoscaler, in the head's container, starts the other nodes with
# it. libgomp1: torch and scikit-learn. profile.d: a login shell, which `ray up` runs its commands in, forgets the PATH below.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 openssh-client rsync \
    && rm -rf /var/lib/apt/lists/* \
    && echo 'export PATH="/opt/robonav/bin:$PATH"' > /etc/profile.d/robonav.sh \
    && groupadd --gid 1000 robonav \
    && useradd --uid 1000 --gid 1000 --create-home robonav \
    && mkdir -p "${STORAGE}" \
    && chmod 1777 /home/robonav "${STORAGE}"
ENV PATH=/opt/robonav/bin:$PATH \
    HOME=/home/robonav \
    OMP_NUM_THREADS=1 \
    RAY_AUTH_MODE=token \
    RAY_USAGE_STATS_ENABLED=0 \
    NUMBA_CACHE_DIR=/tmp/numba \
    MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /app
COPY configs configs
COPY cluster cluster
VOLUME ${STORAGE}

FROM node AS gpu
COPY --from=build-gpu /opt/robonav /opt/robonav
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000:1000
CMD ["robonav", "doctor"]

FROM base AS mlflow
RUN pip install "mlflow[auth]==3.17.2" \
    && groupadd --gid 1000 mlflow \
    && useradd --uid 1000 --gid 1000 --create-home mlflow \
    && mkdir /data \
    && chmod 1777 /data
WORKDIR /data
VOLUME /data
USER 1000:1000
CMD ["mlflow", "--version"]

FROM node AS serve
COPY --from=build-serve /opt/robonav /opt/robonav
USER 1000:1000
EXPOSE 8000
# Our own page, behind the token: Ray Serve's says that it lives also where no policy answers.
HEALTHCHECK --interval=10s --timeout=8s --start-period=120s --retries=5 \
    CMD ["python", "-c", "import urllib.request as u; t = open('/run/secrets/serve_token').read().strip(); u.urlopen(u.Request('http://127.0.0.1:8000/health', headers={'Authorization': 'Bearer ' + t}), timeout=4)"]
CMD ["robonav", "serve", "robot_nav@champion", "--host", "0.0.0.0", "--token-file", "/run/secrets/serve_token"]

FROM node AS cpu
COPY --from=build-cpu /opt/robonav /opt/robonav
USER 1000:1000
CMD ["robonav", "doctor"]
