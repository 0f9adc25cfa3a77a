"""Graphs to OpenVINO IR. Every file here is part of the artifact key."""
