"""WebSockets: OpenAI's realtime transcription sessions, and streams of raw audio."""
