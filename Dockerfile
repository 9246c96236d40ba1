# The image that notebooks run in: Python, git, pytest-nbci and the libraries of the examples.
# Kaniko builds it in .gitlab-ci.yml, hence no RUN --mount; docker, podman and buildah do as well.
# What is copied is listed in .dockerignore.

# Any Debian or Ubuntu image with Python 3.11 or newer (Debian's own needs python3-venv as well).
ARG BASE_IMAGE=python:3.12-slim
FROM ${BASE_IMAGE}

# The slim images lack git, which lists and checks out the notebooks.
RUN command -v git >/dev/null || { \
      apt-get update -q \
      && DEBIAN_FRONTEND=noninteractive \
         apt-get install -q -y --no-install-recommends git ca-certificates \
      && rm -rf /var/lib/apt/lists/*; } \
 # The runner clones as another user than the one that runs the job: git refuses without this.
 && git config --system --add safe.directory '*'

# Only while building: where pip finds its settings (index, token, certificate). Kaniko leaves
# /kaniko out of the image, so nothing of that file gets into a layer or into the history.
# No file, no settings.
ARG PIP_CONFIG_FILE=/kaniko/pip.conf

# Dependencies first: this layer comes from the cache until one of these files changes.
COPY pyproject.toml requirements.lock examples/requirements.txt /opt/nbci/src/
RUN cd /opt/nbci/src \
 && python3 -m venv /opt/nbci \
 && python3 -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
print(*project["dependencies"], *project["optional-dependencies"]["xdist"], sep="\n")' \
    > dependencies.txt \
 && /opt/nbci/bin/pip install --no-cache-dir -c requirements.lock -r dependencies.txt -r requirements.txt

COPY README.md LICENSE /opt/nbci/src/
COPY pytest_nbci /opt/nbci/src/pytest_nbci
RUN /opt/nbci/bin/pip install --no-cache-dir --no-deps /opt/nbci/src

# Any user works, also one without a passwd entry (OpenShift picks its own): /tmp can always be
# written, so the settings and caches of Jupyter, IPython, matplotlib and git lie there, and USER
# is what getpass.getuser() answers when there is no entry to look up.
ENV PATH=/opt/nbci/bin:$PATH HOME=/tmp USER=nbci LANG=C.UTF-8
USER 10001:0
CMD ["bash"]
