"""Graphs to one bundle of NEFFs. Every file here is part of the artifact key."""
