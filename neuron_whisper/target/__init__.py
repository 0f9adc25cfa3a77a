"""Targets: the devices that a program is compiled for and runs on, behind one interface."""
