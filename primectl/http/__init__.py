"""HTTP/1.0 and 1.1 without sockets: bytes in, requests out; answers in, bytes out. The choices made: docs/http.md.

limits      how much a client may send, and how slowly
request     a request's head: its line, its fields, and the judgement on bytes that can no longer become one
body        bodies of a declared length, and chunked ones
response    Response -> bytes
forwarded   whose address a request bears when proxies stand in front
connection  one client: keep-alive, the order of answers, bounds, deadlines
address     the other side: where to ask
question    a request to bytes
answer      bytes -> Response
client      asks, for replay and tests (the one module here that opens sockets)
"""
