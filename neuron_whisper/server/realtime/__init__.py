"""WebSockets: OpenAI's transcription sessions, and plain audio."""
