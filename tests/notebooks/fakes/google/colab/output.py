"""Ports are noted."""

from google.colab.asked import note


def serve_kernel_port_as_iframe(port: int, path: str = "/", width: str = "100%", height: str = "400") -> None:
    note(f"output.serve_kernel_port_as_iframe height={height}")
