"""The CPU target: OpenVINO."""
