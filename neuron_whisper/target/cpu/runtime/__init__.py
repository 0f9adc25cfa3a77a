"""Runs the compiled graphs on OpenVINO. No torch; not part of the artifact key."""
