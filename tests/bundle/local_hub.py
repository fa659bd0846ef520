"""A small server that speaks the Hub's API, as far as its client needs it for one model."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import threading
import urllib.parse
from contextlib import contextmanager

#: The token that may write.
WRITER = "writer"


class LocalHub(http.server.ThreadingHTTPServer):
    """Keeps repositories in memory: name to branch to file to content."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.repositories = {}
        self.private = {}
        self.seen = []

    def sha(self, name, branch):
        files = self.repositories[name][branch]
        digest = hashlib.sha1(usedforsecurity=False)
        for path in sorted(files):
            digest.update(path.encode() + files[path])
        return digest.hexdigest()


class _Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _send(self, content=b"", status=200, headers=None, *, body=True):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _refused(self):
        self.server.seen.append((self.command, self.path))
        self.token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if self.command == "POST" and self.token != WRITER:
            self._send({"error": "Invalid username or password."}, 401)
            return True
        return False

    def do_POST(self):
        body = self._body()
        if self._refused():
            return
        path = urllib.parse.urlsplit(self.path).path
        words = path.strip("/").split("/")
        if path == "/api/repos/create":
            given = json.loads(body)
            name = f"{given['organization']}/{given['name']}"
            if name in self.server.repositories:
                self._send({"error": "exists", "url": name}, 409)
                return
            self.server.repositories[name] = {"main": {}}
            self.server.private[name] = "private" in (given.get("visibility"), *given)
            self._send({"url": f"http://{self.headers['Host']}/{name}"})
        elif path == "/api/validate-yaml":
            self._send({"errors": [], "warnings": []})
        elif words[4:5] == ["preupload"]:
            files = json.loads(body)["files"]
            mode = {"uploadMode": "regular", "shouldIgnore": False}
            self._send({"files": [{"path": file["path"], **mode} for file in files]})
        elif words[4:5] == ["branch"]:
            branches = self.server.repositories["/".join(words[2:4])]
            branches[words[5]] = dict(branches["main"])
            self._send({})
        elif words[4:5] == ["commit"]:
            name, branch = "/".join(words[2:4]), words[5]
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    content = base64.b64decode(entry["value"]["content"])
                    self.server.repositories[name][branch][entry["value"]["path"]] = content
            sha = self.server.sha(name, branch)
            address = f"http://{self.headers['Host']}/{name}/commit/{sha}"
            self._send({"success": True, "commitUrl": address, "commitOid": sha})
        else:
            self._send({"error": f"unknown: {path}"}, 404)

    def do_HEAD(self):
        self._give(body=False)

    def do_GET(self):
        self._give(body=True)

    def _give(self, *, body):
        if self._refused():
            return
        words = urllib.parse.urlsplit(self.path).path.strip("/").split("/")
        words = words[2:] if words[:2] == ["api", "models"] else words
        name = "/".join(words[:2])
        branches = self.server.repositories.get(name)
        if branches is None or (self.server.private[name] and not self.token):
            headers = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
            self._send({"error": "Repository not found"}, 404, headers, body=body)
            return
        revision = words[3] if len(words) > 3 else "main"
        shas = {self.server.sha(name, branch): branch for branch in branches}
        branch = shas.get(revision, revision)
        if branch not in branches:
            headers = {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"}
            self._send({"error": "Invalid rev id"}, 404, headers, body=body)
            return
        files = branches[branch]
        sha = self.server.sha(name, branch)
        if words[2:3] == ["resolve"]:
            content = files[urllib.parse.unquote("/".join(words[4:]))]
            etag = hashlib.sha1(content, usedforsecurity=False).hexdigest()
            self._send(content, headers={"ETag": f'"{etag}"', "X-Repo-Commit": sha}, body=body)
        elif words[2:3] == ["tree"]:
            self._send([{"type": "file", "path": path, "size": len(content), "oid": "0" * 40}
                        for path, content in files.items()], body=body)  # fmt: skip
        else:
            siblings = [{"rfilename": path} for path in files]
            self._send({"id": name, "sha": sha, "siblings": siblings, "private": False}, body=body)


@contextmanager
def local_hub():
    """A server, running until the block ends."""
    server = LocalHub()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
