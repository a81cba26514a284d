"""A server on 127.0.0.1 that speaks OpenAI's API and answers as it is told: the tests' own, and as bad as they like."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-test-0123456789abcdef"

# Status, headers, content. Of the headers "pause" makes it send ten bytes at a time, with so many seconds between, and
# "cut" makes it hang up after so many bytes.
Answer = tuple[int, dict[str, str], "bytes | dict[str, Any]"]


class Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that hung up is no fault of the server
            super().handle_error(request, client_address)


class Server:
    """It keeps what it was asked: the headers (lower case) and the body of each request, and its path."""

    def __init__(self) -> None:
        self.answer: Callable[[dict[str, Any]], Answer] = lambda body: (200, {}, chat("A small left effusion."))
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.paths: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def respond(self) -> None:
                data = self.rfile.read(int(self.headers.get("content-length", 0)))
                outer.paths.append(self.path)
                headers = {k.lower(): v for k, v in self.headers.items()}
                self.send(*outer.respond(self.command, self.path, headers, data))

            do_GET = do_POST = respond

            def send(self, status: int, headers: dict[str, str], content: bytes | dict[str, Any]) -> None:
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                headers = {"content-type": "application/json", "content-length": str(len(data)), **headers}
                pause, cut = float(headers.pop("pause", 0)), int(headers.pop("cut", len(data)))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.close_connection = cut < len(data)
                with suppress(ConnectionError):  # the client may have given up
                    step = 10 if pause else len(data) or 1
                    for at in range(0, cut, step):
                        time.sleep(pause)
                        self.wfile.write(data[at : min(cut, at + step)])

            def log_message(self, *args: Any) -> None:
                pass

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def respond(self, method: str, path: str, headers: dict[str, str], data: bytes) -> Answer:
        """What to answer to any request."""
        body = json.loads(data)
        self.asked.append((headers, body))
        return self.answer(body)

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


def chat(content: str | None, finish_reason: str = "stop", refusal: str | None = None, **more: Any) -> dict[str, Any]:
    """A chat completion."""
    message = {"role": "assistant", "content": content, "refusal": refusal}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "served-model",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 6, "total_tokens": 26},
        **more,
    }


def error(message: str, **more: Any) -> dict[str, Any]:
    """The body of an error."""
    return {"error": {"message": message, **more}}
