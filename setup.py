"""Package metadata. `pip install .` loads and runs checkpoints; the extras add what training, TPUs or tests need."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "toto_jax" / "__init__.py").read_text()).group(1)

BASE = [
    "absl-py>=2.3",
    "flax>=0.12.8",
    "jax>=0.10.2",
    "ml-collections>=1.1.0",
    "numpy>=2.1",
    "optax>=0.2.8",
    "orbax-checkpoint>=0.12.8",
    "pyyaml>=6",
    "safetensors>=0.6",
]
VIDEO = ["av>=18.1", "pillow>=11"]  # PyAV carries FFmpeg in its wheel
PLOTS = ["matplotlib>=3.10"]
TRAIN = [
    *VIDEO,
    *PLOTS,
    "array-record>=0.8.6",
    "fsspec>=2025.2",
    "grain>=0.2.18",
    "tensorboardX>=2.6.4",
    "tqdm>=4.66",
]
# Sets that TensorFlow Datasets prepared, without TensorFlow. Its 4.9.10 needs importlib_resources and doesn't say so.
TFDS = ["tensorflow-datasets>=4.9.10", "importlib_resources>=6.4"]
TESTS = [*TRAIN, "pytest>=9", "pytest-xdist>=3.6", "tensorboard>=2.19"]

setup(
    name="toto_jax",
    version=VERSION,
    description="Autoregressive pre-training from videos in JAX: tokenizers, transformers, probes and scaling laws",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["toto_jax", "toto_jax.*"]),
    install_requires=BASE,
    extras_require={
        "gcs": ["gcsfs>=2025.2"],
        "video": VIDEO,
        "plots": PLOTS,
        "train": TRAIN,
        "tfds": [*TRAIN, *TFDS],
        "tpu": ["jax[tpu]>=0.10.2"],
        "beam": ["apache-beam>=2.77"],
        "cuda": ["jax[cuda13]>=0.10.2"],
        "tests": TESTS,
        # What tests compare with. DALL-E, taming and mup ask for old or large things: installed beside, --no-deps.
        "reference": [
            *TESTS,
            "torch>=2.6",
            "transformers>=5.0",
            "attrs",
            "requests",
            "kubernetes-validate>=1.31",
        ],
        "lint": ["ruff>=0.14"],
    },
    classifiers=[
        "Intended Audience :: Science/Research",
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
