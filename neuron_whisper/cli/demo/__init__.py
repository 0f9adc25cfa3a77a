"""The command `demo`: its stages, the recordings it can take, and the report it leaves."""
