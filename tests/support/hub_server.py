"""A Hugging Face hub on loopback, for the real client: repositories with commits, LFS uploads, files at a revision.

It speaks what huggingface_hub asks for without Xet: create, preupload, LFS batch and upload, commit, model info, and
resolve with the headers of the real one, large files by a redirect to another address.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from huggingface_hub import RepoCard

TEXT_FILES = (".md", ".json", ".xml", ".gitattributes")  # in git itself; the real hub decides by content and size
LICENCES = {"apache-2.0", "mit", "unknown", "other"}  # some of those that the real one takes
TOKEN = "hf_writeTokenOfAlice"


def is_large(path: str) -> bool:
    return not path.endswith(TEXT_FILES)


@dataclass(slots=True)
class StoredFile:
    content: bytes
    is_lfs: bool

    @property
    def git_sha1(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(slots=True)
class Repository:
    """`commits` are (id, files by path), the last one is main's; `refs` are further branches and tags."""

    private: bool
    commits: list[tuple[str, dict[str, StoredFile]]] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, StoredFile]:
        return self.commits[-1][1]

    def commit(self, files: dict[str, StoredFile]) -> str:
        listed = sorted((path, file.git_sha1) for path, file in files.items())
        commit = hashlib.sha1(repr((len(self.commits), listed)).encode()).hexdigest()
        self.commits.append((commit, files))
        return commit

    def put(self, path: str, content: bytes) -> str:
        """One more commit that changes one file, as somebody else could make it."""
        return self.commit({**self.files, path: StoredFile(content, is_large(path))})

    def at(self, revision: str) -> tuple[str, dict[str, StoredFile]] | None:
        if revision == "main":
            return self.commits[-1]
        wanted = self.refs.get(revision, revision)
        return next((it for it in self.commits if it[0] == wanted), None)


@dataclass(slots=True)
class Hub:
    """`requests` are method, path and size of the body of each; `before` may answer one in place of the hub.

    `storage` is the address of large files: the same server by another name, to which no token may go. `authorized`
    are the paths of requests with a token.
    """

    address: str = ""
    storage: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=lambda: {TOKEN: "alice"})
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    authorized: set[str] = field(default_factory=set)
    before: Callable[[str, str], tuple[int, dict[str, str], bytes] | None] = lambda method, path: None

    def count(self, method: str, pattern: str) -> int:
        return sum(it[0] == method and re.search(pattern, it[1]) is not None for it in self.requests)

    def sent_bytes(self) -> int:
        """Of files: those uploaded on their own, and those within commits, in base64."""
        return sum(size for _, path, size in self.requests if path.startswith("/upload/") or "/commit/" in path)


@contextmanager
def serve_hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(_Handler):
        pass

    Handler.hub = hub
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        hub.address = f"http://127.0.0.1:{server.server_port}"
        hub.storage = f"http://localhost:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield hub
        server.shutdown()


_NOT_FOUND = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}


class _Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # headers and body in one packet; apart they would wait for an acknowledgement
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path, body = unquote(urlsplit(self.path).path), self._read_body()
        self.hub.requests.append((self.command, path, len(body)))
        if "Authorization" in self.headers:
            self.hub.authorized.add(path)
        answered = self.hub.before(self.command, path)
        if answered is not None:
            return self._answer(answered[0], answered[2], answered[1])
        for method, pattern, action in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and self.command in method.split():
                return action(self, body, **found.groupdict())
        return self._answer(404, b"")

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - http.server looks for these names

    def log_message(self, *_: Any) -> None:
        pass

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _answer_json(self, document: object, status: int = 200) -> None:
        self._answer(status, json.dumps(document).encode(), {"Content-Type": "application/json"})

    @property
    def user(self) -> str | None:
        return self.hub.users.get(self.headers.get("Authorization", "").removeprefix("Bearer "))

    def _find(self, name: str, *, write: bool = False) -> Repository | None:
        """The repository; None when the refusal has been answered."""
        found = self.hub.repositories.get(name)
        is_owner = self.user == name.partition("/")[0]
        if "Authorization" in self.headers and self.user is None:
            self._answer(401, b"{}", {"X-Error-Message": "Invalid credentials in Authorization header"})
        elif found is None or (found.private and not is_owner):
            self._answer(404 if self.user else 401, b"{}", _NOT_FOUND)
        elif write and not is_owner:
            self._answer(403, b"{}", {"X-Error-Message": "This token has no write access to it"})
        else:
            return found
        return None

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if self.user is None:
            return self._answer(401, b"{}", {"X-Error-Message": "Invalid credentials in Authorization header"})
        if self.user != asked["organization"]:
            return self._answer(403, b"{}", {"X-Error-Message": "You have no right to the namespace"})
        if name in self.hub.repositories:
            return self._answer_json({"url": f"{self.hub.address}/{name}"}, 409)
        made = Repository(private=asked.get("private", False) or asked.get("visibility") == "private")
        made.commit({".gitattributes": StoredFile(b"*.bin filter=lfs\n", is_lfs=False)})
        self.hub.repositories[name] = made
        return self._answer_json({"url": f"{self.hub.address}/{name}"})

    def validate(self, body: bytes) -> None:
        fields = RepoCard(json.loads(body)["content"]).data.get("license")
        unknown = {*([fields] if isinstance(fields, str) else fields)} - LICENCES
        errors = [{"message": f'"license" must be one of [{", ".join(sorted(LICENCES))}, array]'}] if unknown else []
        self._answer_json({"warnings": [], "errors": errors}, 400 if errors else 200)

    def info(self, body: bytes, name: str, revision: str = "main") -> None:
        if (new := self.hub.renamed.get(name)) is not None:
            return self._answer(307, b"", {"Location": self.path.replace(name, new, 1)})
        if (repository := self._find(name)) is None:
            return None
        if (found := repository.at(revision)) is None:
            return self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "no revision"})
        siblings = [
            {"rfilename": path, "size": len(file.content), "blobId": file.git_sha1}
            | ({"lfs": {"sha256": file.sha256, "size": len(file.content), "pointerSize": 130}} if file.is_lfs else {})
            for path, file in found[1].items()
        ]
        document = {"id": name, "modelId": name, "sha": found[0], "private": repository.private, "siblings": siblings}
        return self._answer_json(document)

    def preupload(self, body: bytes, name: str, revision: str) -> None:
        if (repository := self._find(name, write=True)) is None:
            return
        files = []
        for asked in json.loads(body)["files"]:
            there = repository.files.get(asked["path"])
            oid = None if there is None else there.sha256 if there.is_lfs else there.git_sha1
            mode = "lfs" if is_large(asked["path"]) else "regular"
            files.append({"path": asked["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._answer_json({"files": files})

    def batch(self, body: bytes, name: str) -> None:
        if self._find(name, write=True) is None:
            return
        objects = []
        for asked in json.loads(body)["objects"]:
            actions = {"upload": {"href": f"{self.hub.storage}/upload/{asked['oid']}?X-Signature=secretOfTheBucket"}}
            objects.append({**asked, **({} if asked["oid"] in self.hub.objects else {"actions": actions})})
        self._answer_json({"transfer": "basic", "objects": objects})

    def upload(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            return self._answer(400, b"")
        self.hub.objects[oid] = body
        return self._answer(200, b"")

    def commit(self, body: bytes, name: str, revision: str) -> None:
        if (repository := self._find(name, write=True)) is None:
            return None
        files = dict(repository.files)
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header" and value.get("parentCommit") not in (None, repository.commits[-1][0]):
                return self._answer(412, b"{}", {"X-Error-Message": "A commit has happened since"})
            if item["key"] == "file":
                files[value["path"]] = StoredFile(base64.b64decode(value["content"]), is_lfs=False)
            elif item["key"] == "lfsFile":
                files[value["path"]] = StoredFile(self.hub.objects[value["oid"]], is_lfs=True)
            elif item["key"] == "deletedFile":
                del files[value["path"]]
        made = repository.commit(files)
        return self._answer_json({"commitUrl": f"{self.hub.address}/{name}/commit/{made}", "commitOid": made})

    def resolve(self, body: bytes, name: str, revision: str, path: str) -> None:
        if (repository := self._find(name)) is None:
            return None
        if (found := repository.at(revision)) is None:
            return self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        commit, files = found
        if path not in files:
            return self._answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        file = files[path]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{file.sha256 if file.is_lfs else file.git_sha1}"'}
        if not file.is_lfs:
            return self._answer(200, file.content, headers)
        headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(len(file.content))}
        self.hub.objects[file.sha256] = file.content
        return self._answer(302, b"", {**headers, "Location": f"{self.hub.storage}/object/{file.sha256}?Signature=s3"})

    def object(self, body: bytes, oid: str) -> None:
        self._answer(200, self.hub.objects[oid], {"ETag": f'"{oid}"'})


_NAME = r"(?P<name>[\w.-]+/[\w.-]+)"
_ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", "/api/validate-yaml", _Handler.validate),
    ("GET", f"/api/models/{_NAME}", _Handler.info),
    ("GET", f"/api/models/{_NAME}/revision/(?P<revision>.+)", _Handler.info),
    ("POST", f"/api/models/{_NAME}/preupload/(?P<revision>[^/]+)", _Handler.preupload),
    ("POST", f"/api/models/{_NAME}/commit/(?P<revision>[^/]+)", _Handler.commit),
    ("POST", rf"/{_NAME}\.git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", "/upload/(?P<oid>[0-9a-f]{64})", _Handler.upload),
    ("HEAD GET", f"/{_NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _Handler.resolve),
    ("HEAD GET", "/object/(?P<oid>[0-9a-f]{64})", _Handler.object),
]
