"""The HTTP face: OpenAI's audio API on a Transcriber. The only place that knows Litestar."""

from neuron_whisper.server.app import create_app
from neuron_whisper.server.config.settings import ServerSettings
from neuron_whisper.server.run import serve

__all__ = ["ServerSettings", "create_app", "serve"]
