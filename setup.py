"""What pyproject.toml cannot say: find the packages of causal_attrib, and install the folder cli/ as causal_attrib_cli.

A top-level module named `cli` would collide with those of other distributions.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["causal_attrib", "causal_attrib.*"]),
        "causal_attrib_cli",
        *(f"causal_attrib_cli.{name}" for name in find_packages("cli")),
    ],
    package_dir={"causal_attrib_cli": "cli"},
)
