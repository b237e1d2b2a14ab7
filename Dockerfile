# Astro Runtime of the Airflow 3.3 line; the image installs packages.txt and requirements.txt by itself.
# This image has not been built by the project's own checks, which run without Docker.
FROM astrocrpublic.azurecr.io/runtime:3.3-2

# The image has copied the project into its working folder by now; what the package needs came from requirements.txt.
RUN pip install --no-deps .
# Configurations are read from the project, not from where pip puts the package.
ENV LOWTIDE_PROJECT_ROOT=/usr/local/airflow

# GPU route
# 1. On the host: the NVIDIA driver and the NVIDIA Container Toolkit.
# 2. In the image: nothing more. The torch wheel that pip installs on Linux brings its CUDA libraries along.
# 3. With the Astro CLI: give the service that executes tasks the device, in docker-compose.override.yml. With the
#    local executor that is the scheduler:
#
#      services:
#        scheduler:
#          deploy:
#            resources:
#              reservations:
#                devices: [{driver: nvidia, count: all, capabilities: [gpu]}]
#
# 4. On Kubernetes: request nvidia.com/gpu in the worker's pod template.
# Training picks CUDA up by itself (training.device: auto). One slot of pool `gpu` stands for one device.

# Where runs, records and reports go; a volume that every worker can see.
# ENV LOWTIDE_ARTIFACTS_ROOT=/usr/local/airflow/artifacts
# Where data sets are kept between runs.
# ENV LOWTIDE_DATA_DIR=/usr/local/airflow/.data
