# The course for CPUs: docker build --tag course .
# Results go into a volume, and nothing else is written:
#   docker run --rm --read-only --tmpfs /tmp --volume runs:/course/runs course python -m utils.course
#   docker run --rm --read-only --tmpfs /tmp --volume runs:/course/runs --publish 127.0.0.1:7860:7860 course
ARG PYTHON=3.12
FROM python:${PYTHON}-slim AS packages
WORKDIR /course
RUN python -m venv .venv && pip install --no-cache-dir uv
COPY . .
# uv knows where torch's builds for CPUs are; the usual one for Linux brings CUDA, four gigabytes of it. What only tests
# need stays outside. Compiled here, for there is nowhere to write it later.
RUN uv pip install --no-cache --compile-bytecode --python .venv --torch-backend cpu \
      --constraint requirements.txt --editable ".[lab,demo]" \
 && python -m compileall -q utils data/standins && touch .venv/ready

FROM python:${PYTHON}-slim
# rasterio's wheel takes this library from the system.
RUN apt-get update && apt-get install --yes --no-install-recommends libexpat1 && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 student
COPY --from=packages /course /course
RUN install --directory --owner student /course/runs
USER student
WORKDIR /course
ENV PATH=/course/.venv/bin:$PATH \
    HOME=/tmp HF_HOME=/course/runs/huggingface \
    GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1073741824
VOLUME /course/runs
EXPOSE 7860
HEALTHCHECK --start-period=60s --interval=30s --timeout=5s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/', timeout=4)"]
# The page; before the course has run it says so.
CMD ["python", "-m", "utils.demo", "--run", "runs/miniature", "--host", "0.0.0.0"]
