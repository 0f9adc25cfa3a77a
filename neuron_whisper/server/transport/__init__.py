"""Connections below the requests: turns, timeouts and limits of HTTP and WebSocket, file descriptors."""
