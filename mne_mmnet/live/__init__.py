"""Real time: windows of arrays through an operator or filters, and streams that bring them."""

from .follow import LiveWindow as LiveWindow
from .follow import follow_stream as follow_stream
from .latency import Latency as Latency
from .stream import MMNetStream as MMNetStream
